// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * Key pairs as bytes and back: what {@code generation-N.keys} holds, and {@code last-good} behind
 * its plan. Whoever writes them sees to it that only the owner can read the file.
 */
public final class TlsKeyPairCodec {

  private static final byte[] MAGIC = "WEIRKEYS".getBytes(StandardCharsets.US_ASCII);

  private TlsKeyPairCodec() {}

  /** The key pairs' bytes. */
  public static byte[] encode(List<TlsKeyPair> keyPairs) {
    BinaryWriter out = new BinaryWriter();
    out.raw(MAGIC);
    out.u8(PlanCodec.VERSION >>> 8);
    out.u8(PlanCodec.VERSION);
    write(out, keyPairs);
    return out.finish();
  }

  /**
   * The key pairs of these bytes.
   *
   * @throws PlanFormatException when they are not key pairs, damaged, or of another version
   */
  public static List<TlsKeyPair> decode(byte[] bytes) throws PlanFormatException {
    BinaryReader in = BinaryReader.open(bytes, MAGIC, PlanCodec.VERSION, "Weir key file");
    List<TlsKeyPair> keyPairs = read(in);
    in.finish();
    return List.copyOf(keyPairs);
  }

  static void write(BinaryWriter out, List<TlsKeyPair> keyPairs) {
    out.list(
        keyPairs,
        k -> {
          out.text(k.name());
          out.text(k.chainPem());
          out.text(k.keyPem());
        });
  }

  static List<TlsKeyPair> read(BinaryReader in) throws PlanFormatException {
    return in.list(() -> new TlsKeyPair(in.text(), in.text(), in.text()));
  }
}
