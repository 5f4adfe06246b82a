// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.perf.Template;
import dev.weir.perf.measure.MeasureException;
import java.util.Map;
import org.junit.jupiter.api.Test;

class WrkTest {

  private static final String OUTPUT =
      """
      Running 1s test @ http://127.0.0.1:1/
        1 threads and 32 connections
        Thread Stats   Avg      Stdev     Max   +/- Stdev
          Latency   500.00us  100.00us   9.00ms   90.00%
        Latency Distribution
           50%  480.00us
           75%  600.00us
           90%  700.00us
           99%    1.20ms
        66017 requests in 1.10s, 75.00MB read
      Requests/sec:  60015.00
      """;

  @Test
  void readsRequestsAndLatencies() throws Exception {
    assertThat(Wrk.parse("u", OUTPUT)).isEqualTo(new Wrk.Load(66017, 1.1, 480, 1200, 0));
  }

  @Test
  void countsWhatFailed() throws Exception {
    String bad =
        OUTPUT
            + "  Socket errors: connect 1, read 2, write 3, timeout 4\n"
            + "  Non-2xx or 3xx responses: 5\n";
    assertThat(Wrk.parse("u", bad).failed()).isEqualTo(15);
  }

  @Test
  void noRequestIsNoMeasurement() {
    assertThatThrownBy(() -> Wrk.parse("u", "0 requests in 1.00s, 0.00B read"))
        .isInstanceOf(MeasureException.class);
  }

  @Test
  void aPlaceNobodyFillsIsAnError() {
    assertThatThrownBy(() -> Template.fill(Contender.class, "haproxy.cfg", Map.of("port", 1)))
        .isInstanceOf(MeasureException.class)
        .hasMessageContaining("haproxy.cfg asks for ${");
  }
}
