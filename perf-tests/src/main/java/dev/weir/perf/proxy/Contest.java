// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import dev.weir.perf.Workspace;
import dev.weir.perf.measure.MeasureException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The proxies that are measured beside each other, and what they lead to.
 *
 * @param backends what they lead to
 * @param mesh Weir, of which the last contender is a part
 * @param contenders nginx, HAProxy, Envoy, Weir
 */
record Contest(Backends backends, WeirMesh mesh, List<Contender> contenders)
    implements AutoCloseable {

  /** Copies the list. */
  Contest {
    contenders = List.copyOf(contenders);
  }

  /**
   * Starts all of them, and looks at an answer of each.
   *
   * @param front what they are spoken to
   */
  static Contest start(Workspace workspace, Front front)
      throws MeasureException, InterruptedException {
    Path tested = workspace.cgroup("tested");
    Backends backends = Backends.start(workspace);
    List<Contender> contenders = new ArrayList<>();
    boolean whole = false;
    try {
      contenders.add(Contender.nginx(workspace, tested, backends, front));
      contenders.add(Contender.haproxy(workspace, tested, backends, front));
      contenders.add(Contender.envoy(workspace, tested, backends, front));
      for (Contender contender : contenders) {
        contender.check(workspace, front, backends);
      }
      WeirMesh mesh = WeirMesh.start(workspace, workspace.cgroup("mesh"), backends, front);
      contenders.add(Contender.weir(workspace, mesh));
      contenders.getLast().check(workspace, front, backends);
      whole = true;
      return new Contest(backends, mesh, contenders);
    } finally {
      if (!whole) {
        contenders.forEach(Contender::close);
        backends.close();
      }
    }
  }

  /** The one that the others are compared with. */
  Contender nginx() {
    return contenders.getFirst();
  }

  @Override
  public void close() {
    contenders.forEach(Contender::close);
    backends.close();
  }
}
