// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.kernel.Applied;
import dev.weir.node.kernel.Current;
import dev.weir.node.kernel.KernelNode;
import dev.weir.node.kernel.NodeException;
import dev.weir.node.kernel.Places;
import dev.weir.policy.json.Json;
import dev.weir.policy.json.JsonObject;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.ProxyUpdateCodec;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What a command does to a mesh: through the agent when one runs, so that the proxy follows and
 * nobody works against it; by itself when none does.
 */
public final class Operations {

  private static final Duration APPLY_LIMIT = Duration.ofSeconds(60);
  private static final Duration DOWN_LIMIT = Duration.ofSeconds(60);
  private static final Duration CONFIRM_LIMIT = Duration.ofSeconds(30);
  private static final Duration UPDATE_LIMIT = Duration.ofSeconds(10);
  private static final Duration DRAIN = Duration.ofSeconds(1);

  private Operations() {}

  /**
   * Has the agent put a directory in force and follow it.
   *
   * @return what it did; empty when no agent runs
   * @throws NodeException when the agent refused; nothing has changed then
   */
  public static Optional<Map<String, Object>> apply(
      Places places, Path directory, Duration confirmWithin) throws IOException {
    String request =
        Json.line(
            Map.of(
                "directory",
                directory.toString(),
                "confirm_within_seconds",
                confirmWithin.toSeconds()));
    return call(places, Frame.of(FrameType.APPLY, request), APPLY_LIMIT)
        .map(reply -> JsonObject.parse(reply.text(), "reply").toMap());
  }

  /**
   * Puts a directory in force with no agent to do it.
   *
   * @return what was done, in the members of the agent's answer
   * @throws PolicyRefusedException when the files are bad; nothing has changed then
   */
  public static Map<String, Object> applyWithoutAgent(
      KernelNode node, Path directory, Duration confirmWithin) {
    Policy.Good good =
        switch (PolicyFiles.readOnce(directory)) {
          case Policy.Good files -> files;
          case Policy.Bad bad -> throw new PolicyRefusedException(bad.errors());
        };
    Applied applied = node.apply(good.plan(), good.keyPairs(), confirmWithin);
    String proxy = good.plan().proxy().needed() ? tellProxy(node) : "not needed";
    return result(applied, good, confirmWithin, proxy);
  }

  /** What was done, as the control socket tells it. */
  static Map<String, Object> result(
      Applied applied, Policy.Good good, Duration confirmWithin, String proxy) {
    Map<String, Object> result = new LinkedHashMap<>();
    result.put("generation", applied.generation());
    result.put("took_millis", applied.took().toMillis());
    result.put("revoked", applied.revoked().size());
    result.put("confirm_within_seconds", confirmWithin.toSeconds());
    result.put("warnings", good.warnings());
    result.put("remarks", applied.remarks());
    result.put("proxy", proxy);
    return result;
  }

  /** A proxy whose agent is gone goes on serving, so it is told. */
  private static String tellProxy(KernelNode node) {
    Path runDir = node.places().runDir();
    Optional<Current> current = node.current();
    if (ProxySupervisor.left(runDir).isEmpty() || current.isEmpty()) {
      return "not running: services that lead to it are refused until `weir up`";
    }
    try {
      Frame update =
          Frame.of(FrameType.UPDATE, ProxyUpdateCodec.encode(proxyUpdate(current.get())));
      Frame reply = ControlClient.call(ProxySupervisor.socket(runDir), update, UPDATE_LIMIT);
      return reply.type() == FrameType.OK ? "ready" : "refused it: " + reply.text();
    } catch (IOException e) {
      return "does not answer: " + e.getMessage();
    }
  }

  /**
   * The backends that are on trial, as the proxy says.
   *
   * @throws IOException when no proxy answers
   */
  public static String canaries(Places places) throws IOException {
    return askProxy(places, Frame.of(FrameType.CANARIES)).text();
  }

  /**
   * Has the proxy give canaries their weight again.
   *
   * @param route {@code namespace/name}
   * @param backend {@code namespace/service}; empty for all of the route
   * @return what the proxy says of it
   * @throws IOException when no proxy answers
   */
  public static Frame release(Places places, String route, String backend) throws IOException {
    return askProxy(places, Frame.of(FrameType.RELEASE, (route + " " + backend).strip()));
  }

  private static Frame askProxy(Places places, Frame request) throws IOException {
    Path socket = ProxySupervisor.socket(places.runDir());
    try {
      return ControlClient.call(socket, request, UPDATE_LIMIT);
    } catch (IOException e) {
      throw new IOException(
          socket + ": no proxy answers: " + e.getMessage() + "; `weir status` tells why", e);
    }
  }

  /** What the proxy is told of what is in force. */
  static ProxyUpdate proxyUpdate(Current current) {
    return new ProxyUpdate(
        current.generation(),
        PlanCodec.forProxy(current.plan()),
        current.workloadNumbers(),
        current.keyPairs());
  }

  /** For people. */
  public static String describe(Map<String, Object> result) {
    StringBuilder text = new StringBuilder();
    for (String key : List.of("warnings", "remarks")) {
      if (result.get(key) instanceof List<?> lines) {
        lines.forEach(line -> text.append(line).append('\n'));
      }
    }
    text.append("generation ").append(result.get("generation")).append(" is in force after ");
    text.append(result.get("took_millis")).append(" ms");
    if (result.get("confirm_within_seconds") instanceof Number seconds && seconds.longValue() > 0) {
      text.append("; run `weir confirm` within ").append(seconds).append(" s, or it goes back");
    }
    String proxy = String.valueOf(result.get("proxy"));
    if (!proxy.equals("not needed")) {
      text.append("\nproxy: ").append(proxy);
    }
    return text.toString();
  }

  /** Has the agent confirm; false when no agent runs. */
  public static boolean confirm(Places places) throws IOException {
    return call(places, Frame.of(FrameType.CONFIRM), CONFIRM_LIMIT).isPresent();
  }

  /** Has the agent remove everything, and waits until it has ended; false when no agent runs. */
  public static boolean down(Places places) throws IOException {
    Optional<ProcessId> agent = AgentLock.holder(places.runDir());
    if (call(places, Frame.of(FrameType.DOWN), DOWN_LIMIT).isEmpty()) {
      return false;
    }
    long deadline = System.nanoTime() + DOWN_LIMIT.toNanos();
    while (agent.filter(ProcessId::alive).isPresent() && System.nanoTime() < deadline) {
      try {
        Thread.sleep(5);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        break;
      }
    }
    return true;
  }

  /** Removes everything with no agent to do it. */
  public static void downWithoutAgent(KernelNode node) throws IOException {
    Path runDir = node.places().runDir();
    // Still enforced while the proxy finishes what it has.
    ProxySupervisor.left(runDir)
        .ifPresent(id -> ProxySupervisor.end(ProxySupervisor.socket(runDir), id, DRAIN));
    node.down();
    RunFiles.remove(runDir);
  }

  /** The agent's answer; empty when no agent runs. */
  private static Optional<Frame> call(Places places, Frame request, Duration limit)
      throws IOException {
    Path socket = Agent.socket(places.runDir());
    if (!Files.exists(socket)
        || AgentLock.holder(places.runDir()).filter(ProcessId::alive).isEmpty()) {
      return Optional.empty();
    }
    Frame reply = ControlClient.call(socket, request, limit);
    if (reply.type() == FrameType.ERROR) {
      throw new NodeException(reply.text());
    }
    return Optional.of(reply);
  }
}
