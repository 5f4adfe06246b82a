// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Each case of {@code hostile/requests.txt} once more, beside Debian's nginx and HAProxy, with the
 * same backend behind all three. What comes to it through our proxy must be what came through both
 * of them, or less: the same requests, of the same methods, targets, hosts and bodies, in the same
 * order, from the first one on. So where the two disagree, the stricter one is right. Where we
 * serve what one of them does not, the case says why, and the other one serves it in the same way.
 */
@Timeout(300)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class PeerReadingTest {

  /** Cases are sent to each proxy over so many ports at once, each with a backend of its own. */
  private static final int LANES = 4;

  private static final String OURS = "ours";

  /** By proxy, by name of the case: what came to the backend. */
  private final Map<String, Map<String, List<Recorder.Arrived>>> arrived = new HashMap<>();

  /** Starts a proxy before backends. */
  @FunctionalInterface
  private interface Front {
    Running before(List<Integer> backends) throws Exception;
  }

  /** A proxy, and its port for each backend. */
  private record Running(List<Integer> ports, Closeable proxy) implements Closeable {
    @Override
    public void close() throws IOException {
      proxy.close();
    }
  }

  /** Those of which anything could come to the backend. */
  static List<HostileRequest> cases() {
    return HostileRequest.all().stream().filter(request -> request.local() == 0).toList();
  }

  @BeforeAll
  void send() throws Exception {
    Optional<Path> nginx = PeerProxy.find("nginx");
    Optional<Path> haproxy = PeerProxy.find("haproxy");
    boolean there = nginx.isPresent() && haproxy.isPresent();
    String missing = "nginx or HAProxy is not there: scripts/setup --with test";
    if ("true".equals(System.getenv("CI"))) {
      assertThat(there).as(missing).isTrue();
    }
    assumeTrue(there, missing);
    arrived.put("nginx", through(backends -> peer(PeerProxy.nginx(nginx.get(), backends))));
    arrived.put("haproxy", through(backends -> peer(PeerProxy.haproxy(haproxy.get(), backends))));
    arrived.put(OURS, through(PeerReadingTest::ours));
  }

  private static Running peer(PeerProxy started) {
    return new Running(started.ports(), started::close);
  }

  private static Running ours(List<Integer> backends) throws Exception {
    List<Mesh> meshes = new ArrayList<>();
    for (int backend : backends) {
      Mesh mesh = new Mesh();
      mesh.serve(backend);
      meshes.add(mesh);
    }
    return new Running(
        meshes.stream().map(mesh -> mesh.port).toList(), () -> meshes.forEach(Mesh::close));
  }

  /** Sends all cases through one proxy. */
  private static Map<String, List<Recorder.Arrived>> through(Front front) throws Exception {
    List<Recorder> recorders = new ArrayList<>();
    List<RawBackend> backends = new ArrayList<>();
    for (int lane = 0; lane < LANES; lane++) {
      recorders.add(new Recorder());
      backends.add(new RawBackend(recorders.get(lane)));
    }
    Map<String, List<Recorder.Arrived>> all = new HashMap<>();
    try (Running running = front.before(backends.stream().map(RawBackend::port).toList());
        ExecutorService lanes = Executors.newFixedThreadPool(LANES)) {
      List<Callable<Map<String, List<Recorder.Arrived>>>> tasks = new ArrayList<>();
      for (int lane = 0; lane < LANES; lane++) {
        int mine = lane;
        tasks.add(() -> lane(mine, running.ports().get(mine), recorders.get(mine)));
      }
      for (Future<Map<String, List<Recorder.Arrived>>> done : lanes.invokeAll(tasks)) {
        all.putAll(done.get());
      }
    } finally {
      for (RawBackend backend : backends) {
        backend.close();
      }
    }
    return all;
  }

  private static Map<String, List<Recorder.Arrived>> lane(int lane, int port, Recorder recorder)
      throws IOException {
    Map<String, List<Recorder.Arrived>> mine = new HashMap<>();
    List<HostileRequest> cases = cases();
    HostileClient.settle(port);
    var _ = recorder.take();
    for (int i = lane; i < cases.size(); i += LANES) {
      var _ = HostileClient.send(port, cases.get(i), 10_000);
      HostileClient.settle(port);
      mine.put(
          cases.get(i).name(),
          recorder.take().stream().filter(one -> !one.target().equals("/settled")).toList());
    }
    return mine;
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("cases")
  void isNotReadMoreLenientlyThanByEither(HostileRequest request) {
    List<Recorder.Arrived> ours = of(OURS, request);
    for (String peer : List.of("nginx", "haproxy")) {
      boolean within = begins(of(peer, request), ours);
      String why = request.lenient().get(peer);
      assertThat(within)
          .as(
              why == null
                  ? "%s: ours read %s, %s read %s"
                  : "%s: ours read %s, %s read %s, so there is nothing lenient any more",
              request,
              ours,
              peer,
              of(peer, request))
          .isEqualTo(why == null);
    }
    assertThat(request.lenient()).as("served by one of them at least").hasSizeLessThan(2);
  }

  private List<Recorder.Arrived> of(String proxy, HostileRequest request) {
    return arrived.getOrDefault(proxy, Map.of()).getOrDefault(request.name(), List.of());
  }

  /** Whether one began with what the other one is. */
  private static boolean begins(List<Recorder.Arrived> theirs, List<Recorder.Arrived> ours) {
    if (ours.size() > theirs.size()) {
      return false;
    }
    for (int i = 0; i < ours.size(); i++) {
      Recorder.Arrived mine = ours.get(i);
      Recorder.Arrived other = theirs.get(i);
      if (!mine.reading().equals(other.reading()) || !sameHost(mine.host(), other.host())) {
        return false;
      }
    }
    return true;
  }

  /** A proxy may name the host where HTTP/1.0 did not. */
  private static boolean sameHost(String one, String other) {
    return one.isEmpty() || other.isEmpty() || one.equals(other);
  }
}
