// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

final class BtfTest {

  private static byte[] weir() throws IOException {
    try (InputStream resource = BtfTest.class.getResourceAsStream("/dev/weir/bpf/weir.bpf.o")) {
      if (resource == null) {
        throw new IOException("weir.bpf.o is not on the class path");
      }
      return resource.readAllBytes();
    }
  }

  @Test
  void fieldsLieWhereTheCompilerPutThem() throws IOException {
    StructLayout backend = Btf.of("weir.bpf.o", weir()).structure("weir_backend");
    assertThat(backend.size()).isEqualTo(24);
    assertThat(backend.field("address", 16).offset()).isZero();
    assertThat(backend.field("workload", 4).offset()).isEqualTo(16);
    assertThat(backend.field("port", 2).offset()).isEqualTo(20);
    assertThat(backend.field("identity", 2).offset()).isEqualTo(22);
  }

  @Test
  void aMissingStructureIsToldWithWhatToDo() throws IOException {
    Btf btf = Btf.of("weir.bpf.o", weir());
    assertThatThrownBy(() -> btf.structure("weir_of_tomorrow"))
        .isInstanceOf(BpfException.class)
        .hasMessageContaining("struct weir_of_tomorrow")
        .hasMessageContaining("different versions");
  }

  @Test
  void aFieldOfAnotherWidthIsToldWithBoth() throws IOException {
    StructLayout backend = Btf.of("weir.bpf.o", weir()).structure("weir_backend");
    assertThatThrownBy(() -> backend.field("port", 4))
        .isInstanceOf(BpfException.class)
        .hasMessageContaining("struct weir_backend has a field port of 2 bytes (expected: 4)");
    assertThatThrownBy(() -> backend.field("colour", 4))
        .isInstanceOf(BpfException.class)
        .hasMessageContaining("struct weir_backend has no field colour");
  }

  @Test
  void aNumberTooLargeForItsFieldIsRefused() throws IOException {
    StructLayout backend = Btf.of("weir.bpf.o", weir()).structure("weir_backend");
    ByteBuffer buffer = ByteBuffer.allocate(backend.size()).order(ByteOrder.nativeOrder());
    StructLayout.Field port = backend.field("port", 2);
    port.put(buffer, 0, 65535);
    assertThat(port.get(buffer, 0)).isEqualTo(65535);
    assertThatThrownBy(() -> port.put(buffer, 0, 65536))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("weir_backend.port: 65536 (expected: 0..65535)");
    assertThatThrownBy(() -> port.put(buffer, 0, -1)).isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void whatIsNoObjectFileIsToldSo() {
    assertThatThrownBy(() -> Btf.of("weir.bpf.o", new byte[100]))
        .isInstanceOf(BpfException.class)
        .hasMessageContaining("not an ELF file");
  }

  @Property(tries = 100)
  void aFileThatWasCutOffIsToldSo(@ForAll @IntRange(min = 0, max = 100) int percent)
      throws IOException {
    byte[] whole = weir();
    byte[] cut = Arrays.copyOf(whole, whole.length / 101 * percent);
    assertThatThrownBy(() -> Btf.of("weir.bpf.o", cut)).isInstanceOf(BpfException.class);
  }
}
