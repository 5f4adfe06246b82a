// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.Analysis;
import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.access.AccessQuestions;
import dev.weir.policy.access.AccessQuestions.Answer;
import dev.weir.policy.access.AccessQuestions.Decisive;
import dev.weir.policy.access.AskedRequest;
import dev.weir.policy.access.Destination;
import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.json.Json;
import dev.weir.policy.json.JsonException;
import dev.weir.policy.json.JsonObject;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.plan.Address;
import dev.weir.policy.rbac.Attributes;
import dev.weir.policy.rbac.Principal;
import dev.weir.policy.rbac.Token;
import dev.weir.policy.route.RequestTarget;
import dev.weir.policy.source.SourceTree;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;
import picocli.CommandLine.Spec.Target;

/** {@code weir explain DIR --cases FILE}: many questions about AuthorizationPolicy in one run. */
final class ExplainCases {

  @Spec(Target.MIXEE)
  private CommandSpec spec = CommandSpec.create();

  @Option(
      names = "--cases",
      paramLabel = "FILE",
      description =
          "Answer every line of FILE (- for standard input): JSON with source, destination and"
              + " request, of workloads that need not be declared.")
  private Optional<Path> file = Optional.empty();

  @Option(
      names = "--root-namespace",
      paramLabel = "NS",
      description =
          "With --cases: whose policies are about every namespace. Default: what Mesh says, else"
              + " istio-system.")
  private Optional<String> rootNamespace = Optional.empty();

  @Option(
      names = "--trust-domain",
      paramLabel = "NAME",
      description =
          "With --cases: of principals that a line does not spell out. Default: what Mesh says,"
              + " else cluster.local.")
  private Optional<String> trustDomain = Optional.empty();

  boolean asked() {
    return file.isPresent();
  }

  int answer(PolicyInput input) {
    Analysis analysis = PolicyCompiler.analyse(SourceTree.read(input.directory()));
    if (analysis.compilation() instanceof Compilation.Refused refused) {
      return input.refuse(refused);
    }
    Cluster cluster = analysis.cluster();
    Mesh mesh = cluster.mesh().orElseGet(Mesh::defaults);
    AccessQuestions questions =
        new AccessQuestions(cluster, rootNamespace.orElse(mesh.rootNamespace()));
    Path path = file.orElseThrow();
    boolean failed = false;
    try (BufferedReader lines = new BufferedReader(open(path))) {
      int number = 0;
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        number++;
        if (line.isBlank()) {
          continue;
        }
        try {
          JsonObject question = JsonObject.parse(line, "");
          input.out().println(Json.line(answer(question, questions, mesh)));
        } catch (JsonException e) {
          failed = true;
          Map<String, Object> answer = new LinkedHashMap<>();
          answer.put("error", message(path, number, e));
          answer.put("line", number);
          input.out().println(Json.line(answer));
        }
      }
    } catch (IOException e) {
      throw new ParameterException(
          spec.commandLine(), "--cases: " + path + ": cannot be read: " + e.getMessage(), e);
    }
    input.out().flush();
    return failed ? ExitCodes.FINDINGS : ExitCodes.OK;
  }

  private static Reader open(Path path) throws IOException {
    return path.toString().equals("-")
        ? new InputStreamReader(System.in, StandardCharsets.UTF_8)
        : Files.newBufferedReader(path);
  }

  /** The exception's place is within its line. */
  private static String message(Path path, int number, JsonException e) {
    String place = e.at().toString();
    String message = String.valueOf(e.getMessage());
    return path
        + ":"
        + number
        + (e.at().column() > 0 ? ":" + e.at().column() : "")
        + (message.startsWith(place) ? message.substring(place.length()) : ": " + message);
  }

  private Map<String, Object> answer(JsonObject question, AccessQuestions questions, Mesh mesh) {
    Optional<JsonObject> request = question.optionalObject("request");
    JsonObject destination = question.object("destination");
    Destination about =
        new Destination(
            destination.optionalText("namespace").orElse(""),
            destination.textMap("labels"),
            destination.optionalText("service").orElse(""),
            destination.optionalInteger("port", 0, 65535).orElse(Attributes.NO_PORT));
    Set<String> spaceDelimited = new HashSet<>(question.texts("space_delimited_claims"));
    AskedRequest asked =
        asked(question.object("source"), destination, about, request, spaceDelimited, mesh);
    Map<String, Object> answer = new LinkedHashMap<>();
    if (asked.isRequest() && asked.normalised().isEmpty()) {
      answer.put("allow", false);
      answer.put("verdict", "refuse");
      answer.put("rules", List.of());
      answer.put("tier", "proxy");
      answer.put("why", "the proxy answers 400: the path is not one that may be forwarded");
      return answer;
    }
    Answer found = questions.ask(about, asked);
    answer.put("allow", found.allow());
    answer.put("verdict", found.verdict().name().toLowerCase(Locale.ROOT));
    answer.put("rules", found.rules().stream().map(ExplainCases::rule).toList());
    answer.put("tier", found.kernel() ? "kernel" : "proxy");
    return answer;
  }

  private static Map<String, Object> rule(Decisive decisive) {
    Map<String, Object> rule = Reports.rule(decisive.rule());
    rule.put("action", decisive.action());
    rule.put("audit", decisive.audit());
    return rule;
  }

  private AskedRequest asked(
      JsonObject source,
      JsonObject destination,
      Destination about,
      Optional<JsonObject> request,
      Set<String> spaceDelimited,
      Mesh mesh) {
    String protocol =
        request
            .flatMap(r -> r.optionalText("protocol"))
            .orElse(request.isPresent() ? "http" : "tcp");
    boolean http = !Set.of("tcp", "tls", "udp", "sctp").contains(protocol.toLowerCase(Locale.ROOT));
    Map<String, String> headers = new HashMap<>();
    request
        .flatMap(r -> r.optionalObject("headers"))
        .ifPresent(
            h ->
                h.toMap()
                    .forEach(
                        (k, v) ->
                            headers.merge(
                                k.toLowerCase(Locale.ROOT), joined(v), (a, b) -> a + "," + b)));
    Address from = address(source, "ip");
    Address remote =
        Optional.of(address(source, "remote_ip"))
            .filter(a -> !a.equals(Attributes.NOWHERE))
            .or(
                () ->
                    request
                        .map(r -> address(r, "remote_ip"))
                        .filter(a -> !a.equals(Attributes.NOWHERE)))
            .orElseGet(() -> from.equals(Attributes.NOWHERE) ? forwarded(headers) : from);
    boolean grpc = protocol.equalsIgnoreCase("grpc");
    String host = http ? text(request, "host", headers.getOrDefault("host", "")) : "";
    String method = http ? text(request, "method", grpc ? "POST" : "GET") : "";
    return new AskedRequest(
        http,
        principal(source, mesh),
        from,
        remote,
        address(destination, "ip"),
        about.port(),
        request
            .flatMap(r -> r.optionalText("sni"))
            .or(() -> destination.optionalText("sni"))
            .orElse(""),
        host,
        method,
        http ? RequestTarget.parse(path(request, grpc)) : Optional.empty(),
        headers,
        request
            .flatMap(r -> r.optionalObject("jwt"))
            .map(t -> token(t, request.orElseThrow(), spaceDelimited))
            .orElse(Token.NONE));
  }

  private static String path(Optional<JsonObject> request, boolean grpc) {
    return request
        .flatMap(r -> r.optionalText("path"))
        .orElseGet(
            () -> grpc ? "/" + text(request, "service", "") + "/" + text(request, "rpc", "") : "/");
  }

  private static String text(Optional<JsonObject> object, String key, String otherwise) {
    return object.flatMap(r -> r.optionalText(key)).orElse(otherwise);
  }

  /**
   * Whom the last proxy took the request from: only asked where nobody tells the peer's address.
   */
  private static Address forwarded(Map<String, String> headers) {
    String all = headers.getOrDefault("x-forwarded-for", "");
    return Address.parse(all.substring(all.lastIndexOf(',') + 1).strip())
        .orElse(Attributes.NOWHERE);
  }

  private static String joined(Object value) {
    return value instanceof List<?> list
        ? String.join(",", list.stream().map(String::valueOf).toList())
        : String.valueOf(value);
  }

  /**
   * What {@code principal} says; else, unless {@code mtls} is false, what namespace and account
   * say.
   */
  private Principal principal(JsonObject source, Mesh mesh) {
    if (!source.optionalFlag("mtls").orElse(true)) {
      return Principal.NONE;
    }
    Optional<String> written = source.optionalText("principal");
    if (written.isPresent()) {
      return Principal.parse(written.get());
    }
    Optional<String> namespace = source.optionalText("namespace");
    Optional<String> account = source.optionalText("service_account");
    if (namespace.isEmpty() || account.isEmpty()) {
      return Principal.NONE;
    }
    return Principal.of(
        source.optionalText("trust_domain").or(() -> trustDomain).orElse(mesh.trustDomain()),
        namespace.get(),
        account.get());
  }

  private static Token token(JsonObject token, JsonObject request, Set<String> spaceDelimited) {
    Set<String> all = new HashSet<>(spaceDelimited);
    all.addAll(token.texts("space_delimited_claims"));
    all.addAll(request.texts("space_delimited_claims"));
    return Token.of(
        token.optionalText("principal").orElse(""),
        token.optionalObject("claims").map(JsonObject::toMap).orElse(Map.of()),
        all);
  }

  private static Address address(JsonObject object, String key) {
    Optional<String> text = object.optionalText(key);
    if (text.isEmpty() || text.get().isEmpty()) {
      return Attributes.NOWHERE;
    }
    return Address.parse(text.get())
        .orElseThrow(() -> object.error(key, "\"" + text.get() + "\" is no address"));
  }
}
