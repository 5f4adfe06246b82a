// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.kernel.KernelNode;
import dev.weir.node.kernel.NodeException;
import dev.weir.policy.json.JsonObject;
import dev.weir.policy.plan.Plan;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Sees to it that the proxy listens on loopback of every network namespace in which workloads live,
 * and in no other: an open listener would keep alive what its pod has left. Keeps nothing in mind
 * but who is being started just now: what there is, the proxy says, and what there should be,
 * {@code /proc}. So it makes no difference whether pod, proxy or agent began anew.
 *
 * <p>For one thread.
 */
final class NamespaceListeners {

  private static final Duration LIMIT = Duration.ofSeconds(2);

  /** Beside the proxy's socket for commands. */
  private static final String HAND_OVER = "listeners.sock";

  private final KernelNode node;
  private final Path java;
  private final Path socket;
  private final Log log;
  private @Nullable Process maker;

  /**
   * For one proxy.
   *
   * @param java the {@code java} program
   * @param socket of the proxy, for commands
   */
  NamespaceListeners(KernelNode node, Path java, Path socket, Log log) {
    this.node = node;
    this.java = java;
    this.socket = socket;
    this.log = log;
  }

  /** Compares what there is with what there should be; what is missing is there soon after. */
  void look(Plan plan) {
    if (maker != null && maker.isAlive()) {
      return;
    }
    maker = null;
    try {
      Map<Long, Path> missing = new HashMap<>(node.namespaces(plan));
      ByteBuffer cookies = ByteBuffer.allocate(missing.size() * Long.BYTES);
      missing.keySet().forEach(cookies::putLong);
      Frame reply =
          ControlClient.call(socket, Frame.of(FrameType.NAMESPACES, cookies.array()), LIMIT);
      if (reply.type() != FrameType.JSON) {
        log.error("the proxy does not take listeners of other network namespaces: " + reply.text());
        return;
      }
      if (JsonObject.parse(reply.text(), "reply").toMap().get("listening")
          instanceof List<?> listening) {
        listening.forEach(cookie -> missing.remove(Long.parseUnsignedLong(String.valueOf(cookie))));
      }
      if (!missing.isEmpty()) {
        maker =
            ListenerMaker.start(
                java,
                node.proxyCgroup(plan),
                socket.resolveSibling(HAND_OVER),
                plan.settings().outboundPort(),
                missing.values());
        log.info(
            "the proxy gets a listener in "
                + missing.size()
                + (missing.size() == 1 ? " network namespace" : " network namespaces")
                + " of pods");
      }
    } catch (IOException | NodeException | BpfException e) {
      log.error(
          "what leads to the proxy from pods without its listener is refused: " + e.getMessage());
    }
  }
}
