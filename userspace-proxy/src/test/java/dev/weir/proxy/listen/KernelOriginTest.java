// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.listen;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Address;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;

/**
 * {@code struct weir_origin}, byte for byte; that the kernel writes it is the kernel tests' proof.
 */
final class KernelOriginTest {

  private static ByteBuffer origin(int source, int port, int protocol) {
    return ByteBuffer.allocate(40)
        .order(ByteOrder.nativeOrder())
        .put(Address.ofV4(0x0a600005).bytes())
        .putLong(4242)
        .putInt(source)
        .putInt(77)
        .putShort((short) port)
        .put((byte) protocol)
        .put(new byte[5])
        .flip();
  }

  @Test
  void isReadAsTheKernelWritesIt() {
    assertThat(KernelOrigin.decode(origin(16, 50_000, 1)))
        .contains(new OriginSource.Handover(Address.ofV4(0x0a600005), 50_000, 16));
  }

  @Test
  void anAnswerThatSaysNothingIsNoAnswer() {
    assertThat(KernelOrigin.decode(ByteBuffer.allocate(40))).isEmpty();
    assertThat(KernelOrigin.decode(origin(0, 80, 1))).isEmpty();
    assertThat(KernelOrigin.decode(origin(16, 0, 1))).isEmpty();
    assertThat(KernelOrigin.decode(origin(16, 80, 2))).isEmpty();
    assertThat(KernelOrigin.decode(ByteBuffer.allocate(16))).isEmpty();
  }
}
