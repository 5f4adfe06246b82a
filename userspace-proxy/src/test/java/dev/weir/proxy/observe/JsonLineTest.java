// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.json.JsonObject;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Random;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;

/**
 * What is written is what a JSON parser reads, and whole lines come out of a ring as they went in.
 */
final class JsonLineTest {

  private final JsonLine line = new JsonLine();

  private String write(String value) {
    line.begin().number("n", -42).text("t", value).end();
    return new String(line.bytes(), 0, line.length(), StandardCharsets.UTF_8);
  }

  @Test
  void everyCharacterComesBack() {
    for (int c = 0; c < 0x10000; c++) {
      String value = "<" + (char) c + ">";
      if (Character.isSurrogate((char) c)) {
        assertThat(write(value)).contains("<\\u" + Integer.toHexString(c) + ">");
      } else {
        assertThat(JsonObject.parse(write(value), "line").text("t")).isEqualTo(value);
      }
    }
    String pair = "\ud83d\ude00 \udbff\udfff";
    assertThat(JsonObject.parse(write(pair), "line").text("t")).isEqualTo(pair);
  }

  @Test
  void aLineHasOneLineEnd() {
    assertThat(write("a\nb\r\nc\u2028")).endsWith("}\n").containsOnlyOnce("\n");
  }

  @Test
  void nothingIsNull() {
    assertThat(write("")).isEqualTo("{\"n\":-42,\"t\":null}\n");
  }

  @RepeatedTest(20)
  void whatTheRingTakesComesOutInOrder() throws IOException {
    var random = new Random();
    var ring = new LineRing(1 + random.nextInt(200));
    var in = new ByteArrayOutputStream();
    var out = new ByteArrayOutputStream();
    for (int i = 0; i < 2000; i++) {
      byte[] text =
          ("line " + i + "x".repeat(random.nextInt(60)) + "\n").getBytes(StandardCharsets.US_ASCII);
      if (ring.offer(text, text.length)) {
        in.write(text);
      }
      if (random.nextInt(3) == 0) {
        ring.drainTo(out);
      }
    }
    ring.drainTo(out);
    assertThat(out.toByteArray()).isEqualTo(in.toByteArray());
    assertThat(ring.discard()).isZero();
  }

  @Test
  void twoThreadsPassEveryLineThatWasTaken() throws Exception {
    var ring = new LineRing(1000);
    var out = new ByteArrayOutputStream();
    var taken = new java.util.concurrent.atomic.AtomicInteger();
    Thread writer =
        Thread.ofPlatform()
            .start(
                () -> {
                  for (int i = 0; i < 50_000; i++) {
                    byte[] text = "0123456789abcdef\n".getBytes(StandardCharsets.US_ASCII);
                    if (ring.offer(text, text.length)) {
                      taken.incrementAndGet();
                    }
                  }
                });
    while (writer.isAlive()) {
      ring.drainTo(out);
    }
    writer.join();
    ring.drainTo(out);
    assertThat(out.toString(StandardCharsets.US_ASCII).lines().distinct())
        .containsExactly("0123456789abcdef");
    assertThat(out.size()).isEqualTo(taken.get() * 17);
  }
}
