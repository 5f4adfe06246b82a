// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.bpf.BpfMap;
import dev.weir.policy.plan.Protocol;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** A process that makes several generations writes what is different, and that is enough. */
@Tag("kernel")
final class RememberedTest {

  private static final String ADDRESS = "127.0.0.1";
  private static final int PORT = 5432;
  private static final String REFUSED = "ECONNREFUSED";

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private KernelNode node;

  @BeforeEach
  void open() {
    node = kernel.node();
  }

  private void apply(KernelNode by, String... allowed) {
    PlanBuilder plan =
        kernel
            .plan()
            .workload("web")
            .workload("app")
            .workload("db")
            .owns("db", Protocol.TCP, PORT)
            .isolateIngress("db");
    for (String workload : allowed) {
      plan.allow(workload, "db", Protocol.TCP, PORT);
    }
    var _ = by.apply(plan.build(), List.of(), Duration.ZERO);
  }

  private List<String> outcomes() {
    return List.of(kernel.connect("web", ADDRESS, PORT), kernel.connect("app", ADDRESS, PORT));
  }

  private int inner(Table table, int slot) {
    try (BpfMap outer = BpfMap.open(Pins.in(kernel.places().pinDir()).map(table.map()))) {
      ByteBuffer id = outer.newValue();
      assertThat(outer.lookup(outer.newKey().putInt(0, slot), id)).isTrue();
      return id.getInt(0);
    }
  }

  @Test
  void bothSlotsHaveTheSameMapOfWhatHasNotChanged() {
    kernel.serve("db", "listen", ADDRESS, String.valueOf(PORT));
    apply(node, "web");
    apply(node, "app");

    assertThat(inner(Table.IDENTITIES, 0)).isEqualTo(inner(Table.IDENTITIES, 1));
    assertThat(inner(Table.VERDICTS, 0)).isNotEqualTo(inner(Table.VERDICTS, 1));
    assertThat(outcomes()).containsExactly(REFUSED, "ok");

    apply(node, "web", "app");
    assertThat(outcomes()).containsExactly("ok", "ok");
  }

  @Test
  void whatSomebodyHasEditedIsNotTakenOver() {
    kernel.serve("db", "listen", ADDRESS, String.valueOf(PORT));
    apply(node, "web");
    assertThat(outcomes()).containsExactly("ok", REFUSED);
    try (BpfMap identities = BpfMap.byId(inner(Table.IDENTITIES, currentSlot()))) {
      ByteBuffer nothing = identities.newValue();
      for (int i = 0; i < identities.maxEntries(); i++) {
        identities.update(identities.newKey().putInt(0, i), nothing);
      }
    }
    assertThat(outcomes()).containsExactly("ok", "ok");

    apply(node, "app");
    assertThat(outcomes()).containsExactly(REFUSED, "ok");
  }

  private int currentSlot() {
    return node.current().orElseThrow().slot();
  }

  @Test
  void whatAnotherProcessHasPutInForceMeanwhileIsSeen() {
    kernel.serve("db", "listen", ADDRESS, String.valueOf(PORT));
    apply(node, "web");
    apply(node, "app");
    KernelNode another = kernel.node();
    apply(another, "web", "app");
    assertThat(node.current().orElseThrow().plan())
        .isEqualTo(another.current().orElseThrow().plan());
    assertThat(outcomes()).containsExactly("ok", "ok");

    apply(node, "app");
    assertThat(outcomes()).containsExactly(REFUSED, "ok");
    another.close();
  }
}
