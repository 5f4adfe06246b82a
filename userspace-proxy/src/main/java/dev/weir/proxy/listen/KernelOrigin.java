// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.listen;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import io.netty.channel.Channel;
import io.netty.channel.ChannelException;
import io.netty.channel.unix.RawUnixChannelOption;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;

/**
 * Asks the kernel: {@code getsockopt(fd, SOL_IP, WEIR_SO_ORIGIN)}, answered by a pinned program
 * with {@code struct weir_origin} (docs/protocols.md; {@code weir/types.h}).
 */
public final class KernelOrigin implements OriginSource {

  private static final int SOL_IP = 0;
  private static final int WEIR_SO_ORIGIN = 0x5745;
  private static final int SIZE = 40;
  private static final int SOURCE = 24;
  private static final int PORT = 32;
  private static final int PROTOCOL = 34;

  private static final RawUnixChannelOption ORIGIN =
      new RawUnixChannelOption("WEIR_SO_ORIGIN", SOL_IP, WEIR_SO_ORIGIN, SIZE);

  /** Needs no privilege. */
  public KernelOrigin() {}

  @Override
  public Optional<Handover> read(Channel channel) {
    ByteBuffer answer;
    try {
      answer = channel.config().getOption(ORIGIN);
    } catch (ChannelException noRecord) {
      // ENOPROTOOPT: nobody handed this connection over. Whoever needs a record closes it.
      return Optional.empty();
    }
    return decode(answer);
  }

  static Optional<Handover> decode(ByteBuffer answer) {
    if (answer.remaining() != SIZE) {
      return Optional.empty();
    }
    ByteBuffer origin = answer.order(ByteOrder.nativeOrder());
    byte[] address = new byte[16];
    int start = origin.position();
    origin.get(start, address);
    int source = origin.getInt(start + SOURCE);
    int port = Short.toUnsignedInt(origin.getShort(start + PORT));
    int protocol = origin.get(start + PROTOCOL);
    // All zero is what a kernel leaves that wrote nothing: not a record.
    return protocol == Protocol.TCP.ordinal() && port != 0 && source != 0
        ? Optional.of(new Handover(Address.of(address), port, source))
        : Optional.empty();
  }
}
