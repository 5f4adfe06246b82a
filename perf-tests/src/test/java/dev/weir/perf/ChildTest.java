// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
final class ChildTest {

  /** More than a pipe holds (pipe(7): 64 KiB). */
  private static final int MUCH = 300_000;

  @TempDir private Path directory;

  @Test
  void oneThatPrintsMuchGoesOnWhileNobodyWaitsForItsEnd() throws Exception {
    // What stands for a cgroup here is a directory: the number of the process is written there.
    Workspace workspace =
        new Workspace(directory, directory, directory, directory, directory, directory);
    String print = "head -c " + MUCH + " /dev/zero | tr '\\0' x; : > done";
    try (Child child =
        Child.talking(workspace, "printer", Child.ANY, directory, List.of("sh", "-c", print))
            .reading()) {
      child.made(directory.resolve("done"));
      assertThat(child.finish()).hasSize(MUCH);
    }
  }
}
