// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class BenchTest {

  @Test
  void everyBenchmarkHasANameOfItsOwn() {
    assertThat(Bench.ALL).extracting(Benchmark::id).doesNotHaveDuplicates();
  }

  @Test
  void everyBenchmarkIsDescribed() throws Exception {
    String text = Files.readString(Path.of("../docs/benchmarks.md"));
    assertThat(Bench.ALL)
        .extracting(Benchmark::id)
        .allSatisfy(id -> assertThat(text).contains("| `" + id + "` |"));
  }
}
