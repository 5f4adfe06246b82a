// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.answer.Ask;
import dev.weir.policy.answer.Explainer.UnclearException;
import dev.weir.policy.answer.RequestRouter;
import dev.weir.policy.answer.Routed;
import dev.weir.policy.json.Json;
import dev.weir.policy.model.Meta;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.source.SourceTree;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code weir route DIR}: where a request leads, and what becomes of it on the way. */
@Command(
    name = "route",
    description = {
      "Says which route, rule and backends a request meets, and what filters make of it.",
      "",
      "The request comes in through a Gateway (--gateway) or from a workload to a Service"
          + " (--from; then --host is SERVICE, SERVICE.NAMESPACE or longer, with its port)."
    },
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "0:the request has an answer, whatever its status",
      "1:the files are refused, or a line of --cases has no answer",
      "2:the command line is wrong, or names nobody"
    })
public final class RouteCommand implements Callable<Integer> {

  @Spec private CommandSpec spec = CommandSpec.create();

  @Mixin private final PolicyInput input = new PolicyInput();

  @Option(
      names = "--gateway",
      paramLabel = "NS/NAME",
      description = "The Gateway that the request comes in through.")
  private Optional<String> gateway = Optional.empty();

  @Option(
      names = "--port",
      paramLabel = "N",
      description =
          "With --gateway: the port that is called. Default: that of --listener, the only one, or"
              + " the scheme's.")
  private Optional<Integer> port = Optional.empty();

  @Option(
      names = "--listener",
      paramLabel = "NAME",
      description = "With --gateway: the listener whose port is called.")
  private Optional<String> listener = Optional.empty();

  @Option(
      names = "--from",
      paramLabel = "WORKLOAD",
      description =
          "The workload that calls a Service: NAMESPACE/NAME, or its namespace as NAMESPACE/.")
  private Optional<String> from = Optional.empty();

  @Option(
      names = "--host",
      paramLabel = "H",
      description = "Whom it calls, perhaps with a port. Default: the gateway's address.")
  private String host = "";

  @Option(names = "--method", paramLabel = "M", description = "Default: ${DEFAULT-VALUE}.")
  private String method = "GET";

  @Option(
      names = "--path",
      paramLabel = "/P",
      description = "With query, if there is one. Default: ${DEFAULT-VALUE}.")
  private String path = "/";

  @Option(
      names = "--header",
      paramLabel = "K=V",
      description = "A header of the request; may be repeated.")
  private Map<String, String> headers = Map.of();

  @Option(
      names = "--scheme",
      paramLabel = "S",
      description = "With --gateway: http or https. Default: what the port speaks.")
  private String scheme = "";

  @Option(
      names = "--protocol",
      paramLabel = "P",
      description = "http or grpc. Default: ${DEFAULT-VALUE}.")
  private String protocol = "http";

  @Option(
      names = "--server-name",
      paramLabel = "NAME",
      description = "With TLS: the name of the handshake (SNI). Default: that of --host.")
  private Optional<String> serverName = Optional.empty();

  @Option(
      names = "--cases",
      paramLabel = "FILE",
      description =
          "Answer every line of FILE (- for standard input): JSON with from and request; one line"
              + " of JSON each.")
  private Optional<Path> cases = Optional.empty();

  /** For picocli. */
  public RouteCommand() {}

  @Override
  public Integer call() {
    SourceTree tree = SourceTree.read(input.directory());
    if (cases.isPresent()) {
      if (gateway.isPresent() || from.isPresent()) {
        throw new ParameterException(
            spec.commandLine(),
            "--cases: its lines say where requests come from; no --gateway or"
                + " --from beside it");
      }
    } else if (gateway.isPresent() == from.isPresent()) {
      throw new ParameterException(
          spec.commandLine(), "say where the request comes from: either --gateway or --from");
    }
    if (!List.of("", "http", "https").contains(scheme)) {
      throw new ParameterException(
          spec.commandLine(), "--scheme: " + scheme + " (expected: http or https)");
    }
    if (!List.of("http", "grpc").contains(protocol.toLowerCase(Locale.ROOT))) {
      throw new ParameterException(
          spec.commandLine(), "--protocol: " + protocol + " (expected: http or grpc)");
    }
    Analysis analysis = PolicyCompiler.analyse(tree);
    return switch (analysis.compilation()) {
      case Compilation.Refused refused -> input.refuse(refused);
      case Compilation.Compiled compiled ->
          answer(tree, analysis, new RequestRouter(analysis, compiled));
    };
  }

  private int answer(SourceTree tree, Analysis analysis, RequestRouter router) {
    if (cases.isPresent()) {
      return new RouteCases(tree, analysis, router, input, spec).answer(cases.get());
    }
    Ask ask =
        new Ask(
            host, method, path, headers, protocol.equalsIgnoreCase("grpc"), serverName, Map.of());
    Routed routed;
    try {
      routed =
          gateway.isPresent()
              ? router.throughGateway(
                  gateway.get(),
                  port.map(OptionalInt::of).orElse(OptionalInt.empty()),
                  listener,
                  scheme,
                  ask)
              : fromClient(router, analysis, from.orElseThrow(), ask);
    } catch (UnclearException e) {
      throw new ParameterException(spec.commandLine(), String.valueOf(e.getMessage()), e);
    }
    if (input.json()) {
      input.out().print(Json.pretty(RouteReports.routed(routed)));
    } else {
      print(routed);
    }
    input.out().flush();
    return ExitCodes.OK;
  }

  /** Routes know the client's namespace, and where they split by clients its name. */
  private static Routed fromClient(RequestRouter router, Analysis analysis, String name, Ask ask)
      throws UnclearException {
    if (name.endsWith("/") && name.length() > 1) {
      return router.fromClient(name.substring(0, name.length() - 1), ask);
    }
    List<Meta> found =
        analysis.cluster().workloads().stream()
            .filter(w -> named(w, name))
            .map(Workload::meta)
            .toList();
    List<String> namespaces = found.stream().map(Meta::namespace).distinct().toList();
    if (namespaces.size() != 1) {
      throw new UnclearException(
          namespaces.isEmpty()
              ? "no workload is called \""
                  + name
                  + "\": NAMESPACE/NAME, or NAMESPACE/ for any of it"
              : "\""
                  + name
                  + "\" may be in any of "
                  + String.join(", ", namespaces)
                  + ": write NAMESPACE/NAME");
    }
    return router.fromClient(namespaces.getFirst(), ask.of(found.getFirst().qualifiedName()));
  }

  private static boolean named(Workload workload, String name) {
    return name.equals(workload.meta().qualifiedName()) || name.equals(workload.meta().name());
  }

  private void print(Routed routed) {
    Ansi ansi = spec.commandLine().getColorScheme().ansi();
    Routed.Entrance entrance = routed.entrance();
    line(
        entrance.kind()
            + " "
            + entrance.name()
            + (entrance.listener().isEmpty() ? "" : " listener " + entrance.listener())
            + " port "
            + entrance.port()
            + entrance.place().map(RouteCommand::at).orElse("")
            + ": "
            + ansi.string(
                routed.connection() == Routed.Connection.MADE
                        && routed.status() < 400
                        && routed.grpcStatus().orElse(0) == 0
                    ? "@|green,bold " + RouteReports.outcome(routed) + "|@"
                    : "@|red,bold " + RouteReports.outcome(routed) + "|@"));
    line("  why:      " + routed.why());
    routed
        .meets()
        .ifPresent(
            rule ->
                line(
                    "  rule:     "
                        + rule.describe()
                        + (routed.name().isEmpty() ? "" : " \"" + routed.name() + "\"")
                        + (routed.match() >= 0 ? " matches[" + routed.match() + "]" : "")));
    for (Routed.Share share : routed.shares()) {
      line(
          "  backend:  "
              + RouteReports.percent(share.fraction())
              + " "
              + share.kind()
              + " "
              + share.namespace()
              + "/"
              + share.name()
              + ":"
              + share.port()
              + (share.workloads().isEmpty() ? "" : " -> " + String.join(", ", share.workloads())));
      print(share);
    }
    for (Routed.Failing failing : routed.failing()) {
      line(
          "  nobody:   "
              + RouteReports.percent(failing.fraction())
              + " "
              + (failing.backend().isEmpty() ? "" : failing.backend() + " ")
              + (failing.connection() == Routed.Connection.MADE
                  ? "answered " + failing.status() + ": "
                  : "")
              + failing.why());
    }
    routed
        .redirect()
        .ifPresent(
            l -> line("  location: " + (l.host().isEmpty() ? "(same host) " : "") + l.text()));
    routed.response().forEach((name, value) -> line("  response: " + name + ": " + value));
    for (Routed.Mirror mirror : routed.mirrors()) {
      line(
          "  mirror:   "
              + RouteReports.percent(mirror.percent() / 100)
              + " Service "
              + mirror.namespace()
              + "/"
              + mirror.name()
              + ":"
              + mirror.port());
    }
    routed
        .action()
        .ifPresent(
            action -> {
              if (action.requestTimeoutMillis() > 0) {
                line(
                    "  timeout:  "
                        + action.requestTimeoutMillis()
                        + " ms for the request, then 504");
              }
              if (action.backendTimeoutMillis() > 0) {
                line("  timeout:  " + action.backendTimeoutMillis() + " ms for each try, then 504");
              }
            });
    routed.retry().ifPresent(r -> line("  retry:    " + r.attempts() + " times on " + r.codes()));
    routed
        .session()
        .ifPresent(
            s ->
                line(
                    "  session:  by " + s.type().name().toLowerCase(Locale.ROOT) + " " + s.name()));
  }

  private void print(Routed.Share share) {
    Routed.BackendRequest request = share.request();
    if (!request.path().equals(path)) {
      line("    gets path " + request.path());
    }
    if (!request.host().equals(host)) {
      line("    gets host " + request.host());
    }
    request
        .headers()
        .forEach(
            (name, value) -> {
              if (!value.equals(headers.get(name))) {
                line("    gets header " + name + ": " + value);
              }
            });
    for (String name : headers.keySet()) {
      boolean kept = request.headers().keySet().stream().anyMatch(name::equalsIgnoreCase);
      if (!kept && !name.equalsIgnoreCase("host")) {
        line("    does not get header " + name);
      }
    }
    share.response().forEach((name, value) -> line("    its response gets " + name + ": " + value));
  }

  private static String at(Rule rule) {
    return rule.file().isEmpty() ? "" : " (" + rule.file() + ":" + rule.line() + ")";
  }

  private void line(String text) {
    input.out().println(text);
  }
}
