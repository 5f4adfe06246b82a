// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.perf.measure.MeasureException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class H2loadTest {

  private static final String OUTPUT =
      """
      finished in 1.00s, 2000.00 req/s, 132.94KB/s
      requests: 2004 total, 2006 started, 2004 done, 2000 succeeded, 4 failed, 4 errored, 0 timeout
      status codes: 1990 2xx, 0 3xx, 7 4xx, 3 5xx
      """;

  @TempDir Path directory;

  private Path log(String text) throws Exception {
    return Files.writeString(directory.resolve("log"), text);
  }

  @Test
  void readsRequestsFailuresAndLatencies() throws Exception {
    Path log = log("1\t200\t30\n2\t200\t10\n3\t200\t20\n");
    assertThat(H2load.parse("u", OUTPUT, 3, log)).isEqualTo(new Wrk.Load(2000, 3, 20, 30, 14));
  }

  @Test
  void nothingAnsweredIsNoMeasurement() throws Exception {
    Path log = log("");
    assertThatThrownBy(
            () -> H2load.parse("u", OUTPUT.replace("2000 succeeded", "0 succeeded"), 3, log))
        .isInstanceOf(MeasureException.class)
        .hasMessageContaining("no request to u was answered");
  }
}
