// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.answer.Change;
import dev.weir.policy.answer.Explainer;
import dev.weir.policy.answer.Explanation;
import dev.weir.policy.answer.Explanation.Finding;
import dev.weir.policy.answer.Party;
import dev.weir.policy.answer.Remedy;
import dev.weir.policy.answer.Request;
import dev.weir.policy.json.Json;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.source.SourceTree;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code weir explain DIR --from A --to B --port N}: the verdict and every rule behind it. */
@Command(
    name = "explain",
    description = {
      "Says whether a connection is allowed, and every rule that decided it or nearly did.",
      "",
      "A and B are NAMESPACE/NAME of a Workload or Service (or a bare name, if unique), an IP"
          + " address, host or unknown. service/NAME and workload/NAME tell the two apart;"
          + " gateway/NAME is a Gateway, of which a request is asked."
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:the connection is made, if only as far as the proxy",
      "1:the connection or the files are refused",
      "2:the command line is wrong, or names nobody"
    })
public final class ExplainCommand implements Callable<Integer> {

  private static final String GATEWAY = "gateway/";

  @Spec private CommandSpec spec = CommandSpec.create();

  @Mixin private final PolicyInput input = new PolicyInput();

  @Mixin private final ExplainCases cases = new ExplainCases();

  @Option(names = "--from", paramLabel = "A", description = "Who connects.")
  private String from = "";

  @Option(names = "--to", paramLabel = "B", description = "Whom to.")
  private String to = "";

  @Option(names = "--port", paramLabel = "N", description = "On which port.")
  private int port;

  @Option(
      names = "--protocol",
      paramLabel = "P",
      description = "tcp, udp or sctp. Default: ${DEFAULT-VALUE}.")
  private String protocol = "tcp";

  @Option(
      names = "--method",
      paramLabel = "M",
      description = "Ask about an HTTP request: its method. Default: GET.")
  private Optional<String> method = Optional.empty();

  @Option(
      names = "--path",
      paramLabel = "/P",
      description = "Ask about an HTTP request: its path, with query. Default: /.")
  private Optional<String> path = Optional.empty();

  @Option(
      names = "--host",
      paramLabel = "H",
      description =
          "Ask about an HTTP request: its host, with :PORT if it is sent so. Default: that of B,"
              + " with the port unless it is 80.")
  private Optional<String> host = Optional.empty();

  @Option(
      names = "--header",
      paramLabel = "K=V",
      description = "Ask about an HTTP request: a header it has; may be repeated.")
  private Map<String, String> headers = Map.of();

  @Option(
      names = "--plaintext",
      description = "A comes from elsewhere without mutual TLS: nobody can tell who it is.")
  private boolean plaintext;

  /** For picocli. */
  public ExplainCommand() {}

  private Optional<Request> request() {
    boolean gateway = to.startsWith(GATEWAY);
    if (method.isEmpty() && path.isEmpty() && host.isEmpty() && headers.isEmpty() && !gateway) {
      return Optional.empty();
    }
    String target = path.orElse("/");
    boolean named = headers.keySet().stream().anyMatch(h -> h.equalsIgnoreCase("host"));
    // As a client writes it: the port is left out when it is the scheme's (RFC 9110 7.2).
    String name = to.replaceFirst("^.*/", "");
    String own = (name.contains(":") ? "[" + name + "]" : name) + (port == 80 ? "" : ":" + port);
    return Optional.of(
        Request.of(method.orElse("GET"), host.orElse(gateway || named ? "" : own), target, headers)
            .orElseThrow(
                () ->
                    new ParameterException(
                        spec.commandLine(),
                        "--path: " + target + " is none that the proxy accepts (it answers 400)")));
  }

  @Override
  public Integer call() {
    if (cases.asked()) {
      return cases.answer(input);
    }
    if (from.isEmpty() || to.isEmpty() || port == 0) {
      throw new ParameterException(
          spec.commandLine(), "Missing: --from A, --to B and --port N, or --cases FILE");
    }
    Protocol transport =
        switch (protocol.toLowerCase(Locale.ROOT)) {
          case "tcp" -> Protocol.TCP;
          case "udp" -> Protocol.UDP;
          case "sctp" -> Protocol.SCTP;
          default ->
              throw new ParameterException(
                  spec.commandLine(), "--protocol: " + protocol + " (expected: tcp, udp or sctp)");
        };
    if (port < 1 || port > 65535) {
      throw new ParameterException(
          spec.commandLine(), "--port: " + port + " (expected: 1 to 65535)");
    }
    Analysis analysis = PolicyCompiler.analyse(SourceTree.read(input.directory()));
    return switch (analysis.compilation()) {
      case Compilation.Refused refused -> input.refuse(refused);
      case Compilation.Compiled compiled -> answer(analysis, compiled, transport);
    };
  }

  private int answer(Analysis analysis, Compilation.Compiled compiled, Protocol transport) {
    Explainer explainer = new Explainer(analysis, compiled);
    Explanation explanation;
    try {
      Party source = explainer.party(from, transport, 0);
      Optional<Request> request = request();
      if (request.isPresent() && transport != Protocol.TCP) {
        throw new ParameterException(
            spec.commandLine(), "--protocol: a request goes over tcp, not " + protocol);
      }
      if (to.startsWith(GATEWAY) && plaintext) {
        throw new ParameterException(
            spec.commandLine(), "--plaintext: asks about TCP to a workload, not a Gateway");
      }
      if (to.startsWith(GATEWAY)) {
        return answer(
            explainer.throughGateway(
                source, to.substring(GATEWAY.length()), port, request.orElseThrow()));
      }
      Party destination = explainer.party(to, transport, port);
      if (plaintext && (transport != Protocol.TCP || destination instanceof Party.Virtual)) {
        throw new ParameterException(
            spec.commandLine(), "--plaintext: asks about TCP to a workload, not a Service");
      }
      explanation =
          plaintext
              ? explainer.inPlaintext(source, destination, port, request)
              : request.isPresent()
                  ? explainer.explain(source, destination, port, request.get())
                  : explainer.explain(source, destination, transport, port);
    } catch (Explainer.UnclearException e) {
      throw new ParameterException(spec.commandLine(), String.valueOf(e.getMessage()), e);
    }
    return answer(explanation);
  }

  private int answer(Explanation explanation) {
    if (input.json()) {
      input.out().print(Json.pretty(Reports.explanation(explanation)));
    } else {
      print(explanation, "");
    }
    input.out().flush();
    return explanation.made() ? ExitCodes.OK : ExitCodes.FINDINGS;
  }

  private void print(Explanation explanation, String indent) {
    Ansi ansi = spec.commandLine().getColorScheme().ansi();
    String word =
        switch (explanation.decision()) {
          case ALLOW -> ansi.string("@|green,bold allowed|@");
          case INSPECT -> ansi.string("@|green,bold allowed as far as the proxy|@");
          case AUDIT -> ansi.string("@|yellow,bold would be refused|@");
          case REFUSE -> ansi.string("@|red,bold refused|@");
        };
    input
        .out()
        .println(
            indent
                + explanation.from()
                + " -> "
                + explanation.to()
                + " "
                + explanation.protocol()
                + " "
                + explanation.port()
                + ": "
                + word);
    input.out().println(indent + "  why:  " + explanation.why());
    input.out().println(indent + "  by:   " + explanation.decidedBy().describe());
    input.out().println(indent + "  tier: " + explanation.tier());
    explanation
        .routed()
        .ifPresent(
            routed ->
                input
                    .out()
                    .println(
                        indent
                            + "  route: "
                            + routed
                                .rule()
                                .map(
                                    r ->
                                        r.describe()
                                            + (routed.clause() < 0
                                                ? ""
                                                : " rules[" + routed.clause() + "]"))
                                .orElse("none")
                            + " -> "
                            + (routed.shares().isEmpty() && routed.status() == 0
                                ? "refused"
                                : routed.status() == 0
                                    ? String.join(
                                        ", ",
                                        routed.shares().stream().map(s -> s.toString()).toList())
                                    : "status " + routed.status())));
    for (Finding finding : explanation.findings()) {
      input
          .out()
          .println(
              indent
                  + "  "
                  + finding.side().name().toLowerCase(Locale.ROOT)
                  + ": "
                  + finding.rule().describe()
                  + " "
                  + finding.note());
    }
    for (Explanation backend : explanation.backends()) {
      print(backend, indent + "    ");
    }
    if (indent.isEmpty()) {
      explanation.remedy().ifPresent(this::print);
    }
  }

  private void print(Remedy remedy) {
    input.out().println("  to allow it: " + remedy.note());
    for (Change change : remedy.changes()) {
      input.out().println("    " + change.describe() + ":");
      change.yaml().lines().forEach(line -> input.out().println("      " + line));
    }
  }
}
