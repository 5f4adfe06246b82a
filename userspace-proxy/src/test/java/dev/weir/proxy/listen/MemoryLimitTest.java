// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.listen;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which file says how much memory there is. */
final class MemoryLimitTest {

  @TempDir private Path mount;

  private void write(String file, String text) throws IOException {
    Path path = mount.resolve(file);
    Files.createDirectories(path.getParent());
    Files.writeString(path, text);
  }

  private String mounted(String root, String type) {
    return "31 23 0:28 " + root + " " + mount + " rw,relatime shared:1 - " + type;
  }

  private Optional<MemoryLimit> find(String mounted, String cgroup) throws IOException {
    return MemoryLimit.find(
        List.of("23 1 8:1 / / rw - ext4 /dev/root rw", mounted), List.of("7:pids:/", cgroup));
  }

  @Test
  void ofVersion2TheNarrowestOnTheWayUpCounts() throws IOException {
    write("pod/memory.max", "100000000\n");
    write("pod/memory.current", "30000000\n");
    write("pod/memory.stat", "anon 5\nactive_file 1000000\ninactive_file 2000000\n");
    write("pod/app/memory.max", "max\n");
    MemoryLimit limit = find(mounted("/", "cgroup2 cgroup2 rw"), "0::/pod/app").orElseThrow();
    assertThat(limit.bytes()).isEqualTo(100_000_000);
    assertThat(limit.taken()).isEqualTo(27_000_000);
  }

  @Test
  void ofVersion1ItIsTheMemoryControllers() throws IOException {
    write("app/memory.limit_in_bytes", "100663296\n");
    write("app/memory.usage_in_bytes", "50000000\n");
    write("app/memory.stat", "active_file 7\ntotal_active_file 0\ntotal_inactive_file 10000000\n");
    write("memory.limit_in_bytes", "9223372036854771712\n");
    MemoryLimit limit =
        find(mounted("/", "cgroup cgroup rw,memory"), "4:memory:/app").orElseThrow();
    assertThat(limit.bytes()).isEqualTo(100_663_296);
    assertThat(limit.taken()).isEqualTo(40_000_000);
  }

  @Test
  void withoutALimitThereIsNone() throws IOException {
    write("app/memory.max", "max\n");
    assertThat(find(mounted("/", "cgroup2 cgroup2 rw"), "0::/app")).isEmpty();
    assertThat(find(mounted("/", "cgroup cgroup rw,cpu"), "4:memory:/app")).isEmpty();
    assertThat(find(mounted("/", "tmpfs tmpfs rw"), "0::/app")).isEmpty();
  }

  @Test
  void aMountOfAPartOfTheTreeIsReadFromThere() throws IOException {
    write("memory.max", "1000000\n");
    assertThat(find(mounted("/pod", "cgroup2 cgroup2 rw"), "0::/pod").map(MemoryLimit::bytes))
        .contains(1_000_000L);
    assertThat(find(mounted("/pod", "cgroup2 cgroup2 rw"), "0::/other")).isEmpty();
  }
}
