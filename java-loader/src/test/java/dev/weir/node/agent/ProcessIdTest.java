// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ProcessIdTest {

  @TempDir private Path directory;

  @Test
  void aProcessIsAliveUntilItEnds() throws Exception {
    Process process = new ProcessBuilder("sleep", "60").start();
    ProcessId id = ProcessId.of(process.pid()).orElseThrow();
    assertThat(id.alive()).isTrue();
    id.kill();
    process.waitFor();
    assertThat(id.alive()).isFalse();
  }

  @Test
  void anotherProcessWithTheSameNumberIsNotIt() {
    ProcessId self = ProcessId.of(ProcessHandle.current().pid()).orElseThrow();
    assertThat(new ProcessId(self.pid(), self.started() - 1).alive()).isFalse();
  }

  @Test
  void aFileSaysWhichProcess() throws IOException {
    Path file = directory.resolve("pid");
    ProcessId self = ProcessId.of(ProcessHandle.current().pid()).orElseThrow();
    self.write(file);
    assertThat(ProcessId.read(file)).contains(self);
    Files.writeString(file, "rubbish");
    assertThat(ProcessId.read(file)).isEmpty();
    assertThat(ProcessId.read(directory.resolve("none"))).isEmpty();
  }
}
