// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * A {@link ProxyUpdate} as bytes and back: the payload of an {@code UPDATE} frame. It carries
 * private keys, so it is never written to a file that others may read.
 */
public final class ProxyUpdateCodec {

  private static final byte[] MAGIC = "WEIRPRXY".getBytes(StandardCharsets.US_ASCII);

  private ProxyUpdateCodec() {}

  /** The update's bytes. */
  public static byte[] encode(ProxyUpdate update) {
    BinaryWriter out = new BinaryWriter();
    out.raw(MAGIC);
    out.u8(PlanCodec.VERSION >>> 8);
    out.u8(PlanCodec.VERSION);
    out.number(update.generation());
    PlanCodec.write(out, update.plan());
    out.numbers(update.workloadNumbers());
    TlsKeyPairCodec.write(out, update.keyPairs());
    return out.finish();
  }

  /**
   * The update of these bytes.
   *
   * @throws PlanFormatException when they are not an update, damaged, of another version, or do not
   *     fit together
   */
  public static ProxyUpdate decode(byte[] bytes) throws PlanFormatException {
    BinaryReader in = BinaryReader.open(bytes, MAGIC, PlanCodec.VERSION, "Weir proxy update");
    long generation = in.number(Long.MAX_VALUE);
    Plan plan = PlanCodec.read(in);
    List<Integer> numbers = in.list(() -> in.integer(Integer.MAX_VALUE));
    if (numbers.size() != plan.workloads().size()) {
      throw in.bad(numbers.size() + " numbers for " + plan.workloads().size() + " workloads");
    }
    List<TlsKeyPair> keyPairs = TlsKeyPairCodec.read(in);
    in.finish();
    return new ProxyUpdate(generation, plan, numbers, keyPairs);
  }
}
