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
import dev.weir.policy.json.JsonException;
import dev.weir.policy.json.JsonObject;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Workload;
import dev.weir.policy.source.SourceTree;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Stream;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;

/** {@code weir route DIR --cases FILE}: many questions in one run, one line of JSON each. */
final class RouteCases {

  private final SourceTree tree;
  private final PolicyInput input;
  private final CommandSpec spec;

  private final World whole;

  /** What answers after an object was deleted, by the object. */
  private final Map<String, World> worlds = new HashMap<>();

  private record World(Analysis analysis, RequestRouter router) {}

  private static final class Unanswered extends Exception {
    private static final long serialVersionUID = 1;

    Unanswered(String message) {
      super(message);
    }
  }

  RouteCases(
      SourceTree tree,
      Analysis analysis,
      RequestRouter router,
      PolicyInput input,
      CommandSpec spec) {
    this.tree = tree;
    this.whole = new World(analysis, router);
    this.input = input;
    this.spec = spec;
  }

  int answer(Path path) {
    boolean failed = false;
    try (BufferedReader lines = new BufferedReader(open(path))) {
      int number = 0;
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        number++;
        if (!line.isBlank()) {
          failed |= !answer(path, number, line);
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

  private boolean answer(Path path, int number, String line) {
    Optional<String> error;
    try {
      input.out().println(Json.line(RouteReports.routed(routed(JsonObject.parse(line, "")))));
      return true;
    } catch (JsonException e) {
      error = Optional.of(message(path, number, e));
    } catch (UnclearException | Unanswered e) {
      error = Optional.of(path + ":" + number + ": " + e.getMessage());
    }
    Map<String, Object> answer = new LinkedHashMap<>();
    answer.put("error", error);
    answer.put("line", number);
    input.out().println(Json.line(answer));
    return false;
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

  private Routed routed(JsonObject question) throws UnclearException, Unanswered {
    JsonObject from = question.object("from");
    JsonObject request = question.object("request");
    World world = world(question);
    Optional<String> gateway = from.optionalText("gateway");
    if (gateway.isPresent()) {
      Optional<Integer> port = from.optionalInteger("port", 1, 65535);
      String scheme = from.optionalText("scheme").orElse("").toLowerCase(Locale.ROOT);
      if (!List.of("", "http", "https").contains(scheme)) {
        throw from.error("scheme", "is \"" + scheme + "\" (expected: http or https)");
      }
      return world
          .router()
          .throughGateway(
              gateway.get(),
              port.map(OptionalInt::of).orElse(OptionalInt.empty()),
              from.optionalText("listener"),
              scheme,
              ask(question, request));
    }
    String namespace = from.object("mesh_client").text("namespace");
    Ask ask = ask(question, request);
    if (ask.authority().startsWith("{pod-ip}")) {
      return toPod(world, question, ask);
    }
    return world.router().fromClient(namespace, ask);
  }

  private static Ask ask(JsonObject question, JsonObject request) {
    Map<String, String> backendHeaders = new LinkedHashMap<>();
    String key = "backend_sets_response_headers";
    backendHeaders.putAll(question.textMap(key));
    question.optionalObject("expect").ifPresent(e -> backendHeaders.putAll(e.textMap(key)));
    String protocol = request.optionalText("protocol").orElse("");
    boolean grpc = protocol.toLowerCase(Locale.ROOT).equals("grpc");
    Optional<String> call =
        request
            .optionalText("service")
            .flatMap(s -> request.optionalText("rpc").map(rpc -> "/" + s + "/" + rpc));
    return new Ask(
        request.optionalText("host").orElse(""),
        request.optionalText("method").orElse(grpc ? "POST" : "GET"),
        request.optionalText("path").or(() -> call).orElse("/"),
        request.textMap("headers"),
        grpc,
        request.optionalText("server_name"),
        backendHeaders);
  }

  /** {@code {pod-ip}} is the address of a pod of the workload that is expected to answer. */
  private static Routed toPod(World world, JsonObject question, Ask ask) throws Unanswered {
    Optional<JsonObject> expect = question.optionalObject("expect");
    String backend = expect.flatMap(e -> e.optionalText("backend")).orElse("");
    String namespace =
        expect
            .flatMap(e -> e.optionalText("namespace"))
            .orElse(question.object("from").object("mesh_client").text("namespace"));
    Optional<Workload> workload =
        world.analysis().cluster().workloads().stream()
            .filter(w -> w.meta().name().equals(backend))
            .filter(w -> w.meta().namespace().equals(namespace))
            .findFirst();
    if (workload.isEmpty()) {
      throw new Unanswered(
          "request.host: {pod-ip} is the address of a pod of expect.backend, which is not there");
    }
    int colon = ask.authority().lastIndexOf(':');
    String port = colon < 0 ? "80" : ask.authority().substring(colon + 1);
    if (!port.matches("[0-9]{1,5}") || Integer.parseInt(port) > 65535) {
      throw new Unanswered("request.host: \"" + port + "\" is no port");
    }
    return world.router().direct(workload.get(), Integer.parseInt(port), ask);
  }

  // ---- after an object was deleted

  private World world(JsonObject question) throws Unanswered {
    Object change = question.toMap().get("after_change");
    if (change == null) {
      return whole;
    }
    List<Resource> deleted =
        whole.analysis().cluster().all(Resource.class).stream()
            .filter(r -> meant(r, change))
            .toList();
    if (deleted.size() != 1) {
      throw new Unanswered(
          "after_change: names "
              + (deleted.isEmpty() ? "no object of the files" : "several objects")
              + "; an object with kind, namespace and name is expected");
    }
    String id = deleted.getFirst().id();
    World known = worlds.get(id);
    if (known == null) {
      known = without(id);
      worlds.put(id, known);
    }
    return known;
  }

  private World without(String id) throws Unanswered {
    Analysis analysis = PolicyCompiler.analyse(tree, resource -> !resource.id().equals(id));
    return switch (analysis.compilation()) {
      case Compilation.Refused refused ->
          throw new Unanswered(
              "after_change: without "
                  + id
                  + " the files are refused: "
                  + refused.errors().getFirst());
      case Compilation.Compiled compiled ->
          new World(analysis, new RequestRouter(analysis, compiled));
    };
  }

  /** {@code {kind, namespace, name}}, perhaps below another name, or as text. */
  private static boolean meant(Resource resource, Object change) {
    return switch (change) {
      case Map<?, ?> map when map.get("name") instanceof String name -> {
        boolean kind =
            Stream.of("kind", "delete", "deleted", "resource")
                .map(map::get)
                .filter(String.class::isInstance)
                .findFirst()
                .map(k -> k.toString().equalsIgnoreCase(resource.kind()))
                .orElse(true);
        boolean namespace =
            !(map.get("namespace") instanceof String n) || n.equals(resource.meta().namespace());
        yield kind
            && (name.contains("/")
                ? name.equals(resource.meta().qualifiedName())
                : namespace && name.equals(resource.meta().name()));
      }
      case Map<?, ?> map -> map.values().stream().anyMatch(value -> meant(resource, value));
      case String text -> {
        String[] parts = text.split("[ /]+", -1);
        String name = resource.meta().qualifiedName();
        yield parts.length == 3
            ? parts[0].equalsIgnoreCase(resource.kind()) && name.equals(parts[1] + "/" + parts[2])
            : name.equals(text)
                || parts.length == 2
                    && parts[0].equalsIgnoreCase(resource.kind())
                    && parts[1].equals(resource.meta().name());
      }
      default -> false;
    };
  }
}
