// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Writer and reader of the flow log's files. */
final class FlowLogFileTest {

  private static final int BYTES = 4000;

  @TempDir private Path temporary;

  @SuppressWarnings("NullAway.Init")
  private Path directory;

  @BeforeEach
  void place() {
    directory = FlowLogFile.directory(temporary.resolve("state"));
  }

  private static String line(int number) {
    return "{\"n\":" + number + ",\"text\":\"some forty bytes, so that files fill\"}";
  }

  private static List<String> lines(int from, int to) {
    return IntStream.range(from, to).mapToObj(FlowLogFileTest::line).toList();
  }

  private List<String> read() throws IOException {
    List<String> read = new ArrayList<>();
    try (FlowLogReader reader = new FlowLogReader(directory)) {
      reader.poll(read::add);
    }
    return read;
  }

  private long bytes() throws IOException {
    long bytes = 0;
    for (Path file : FlowLogFile.files(directory)) {
      bytes += Files.size(file);
    }
    return bytes;
  }

  @Test
  void linesAreReadInTheOrderInWhichTheyWereWritten() throws IOException {
    try (FlowLogFile file = new FlowLogFile(directory, BYTES)) {
      file.write(lines(0, 3));
      file.write(lines(3, 5));
      assertThat(file.lines()).isEqualTo(5);
    }
    assertThat(read()).isEqualTo(lines(0, 5));
  }

  @Test
  void allFilesTogetherNeverTakeMoreThanTheirBoundAndTheYoungestLinesStay() throws IOException {
    try (FlowLogFile file = new FlowLogFile(directory, BYTES)) {
      for (int i = 0; i < 500; i++) {
        file.write(lines(i, i + 1));
        assertThat(bytes()).isLessThanOrEqualTo(BYTES);
      }
      assertThat(file.lost()).isZero();
    }
    List<String> read = read();
    assertThat(read.size()).isGreaterThan(BYTES / 2 / line(0).length());
    assertThat(read).isEqualTo(lines(500 - read.size(), 500));
  }

  @Test
  void onlyTheOwnerReadsIt() throws IOException {
    try (FlowLogFile file = new FlowLogFile(directory, BYTES)) {
      file.write(lines(0, 60));
    }
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(directory)))
        .isEqualTo("rwx------");
    assertThat(FlowLogFile.files(directory)).hasSizeGreaterThan(1);
    for (Path file : FlowLogFile.files(directory)) {
      assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
          .isEqualTo("rw-------");
    }
  }

  @Test
  void whatAKilledWriterLeftOfALineIsCutOff() throws IOException {
    try (FlowLogFile file = new FlowLogFile(directory, BYTES)) {
      file.write(lines(0, 2));
    }
    Path newest = directory.resolve(FlowLogFile.NAME);
    Files.writeString(newest, Files.readString(newest) + "{\"n\":2,\"te");
    assertThat(read()).as("a line that is not whole is none").isEqualTo(lines(0, 2));
    try (FlowLogFile file = new FlowLogFile(directory, BYTES)) {
      file.write(lines(2, 3));
    }
    assertThat(read()).isEqualTo(lines(0, 3));
  }

  /** /dev/full is a disk without room: every write to it fails with ENOSPC. */
  @Test
  void aFullDiskLosesLinesAndCountsThemAndNothingElse() throws IOException {
    Files.createDirectories(directory);
    Files.createSymbolicLink(directory.resolve(FlowLogFile.NAME), Path.of("/dev/full"));
    try (FlowLogFile file = new FlowLogFile(directory, BYTES)) {
      file.write(lines(0, 3));
      assertThat(file.lost()).isEqualTo(3);
      assertThat(file.trouble()).hasValueSatisfying(text -> assertThat(text).contains("space"));

      Files.delete(directory.resolve(FlowLogFile.NAME));
      file.write(lines(3, 5));
      assertThat(file.lost()).isEqualTo(3);
      assertThat(file.lines()).isEqualTo(2);
      assertThat(file.trouble()).isEmpty();
    }
    assertThat(read()).isEqualTo(lines(3, 5));
  }

  @Test
  void aReaderThatFollowsMissesNothingAcrossRotation() throws IOException {
    List<String> read = new ArrayList<>();
    try (FlowLogFile file = new FlowLogFile(directory, BYTES);
        FlowLogReader reader = new FlowLogReader(directory)) {
      reader.poll(read::add);
      // Fewer lines between two polls than a rotation throws away.
      for (int i = 0; i < 400; i += 7) {
        file.write(lines(i, i + 7));
        reader.poll(read::add);
        assertThat(read).hasSize(i + 7);
      }
    }
    assertThat(read).isEqualTo(lines(0, read.size()));
  }
}
