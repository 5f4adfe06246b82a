// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Clock;
import java.time.Duration;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class DirectoryWatcherTest {

  private static final Log LOG =
      new Log(new PrintStream(PrintStream.nullOutputStream()), false, false, Clock.systemUTC());

  @TempDir private Path directory;
  private final Semaphore told = new Semaphore(0);

  private DirectoryWatcher watch() throws IOException {
    return watch(directory, Duration.ofMinutes(1));
  }

  private DirectoryWatcher watch(Path where, Duration recheck) throws IOException {
    return new DirectoryWatcher(
        where, Duration.ofMillis(30), recheck, paths -> told.release(), LOG);
  }

  private boolean isTold() throws InterruptedException {
    return told.tryAcquire(5, TimeUnit.SECONDS);
  }

  @Test
  void aNewAChangedARenamedAndARemovedFileAreTold() throws Exception {
    try (var _ = watch()) {
      Path file = directory.resolve("a.yaml");
      Files.writeString(file, "1");
      assertThat(isTold()).isTrue();
      Files.writeString(file, "2");
      assertThat(isTold()).isTrue();
      Files.move(file, directory.resolve("b.yaml"));
      assertThat(isTold()).isTrue();
      Files.delete(directory.resolve("b.yaml"));
      assertThat(isTold()).isTrue();
    }
  }

  @Test
  void aFileInADirectoryThatCameLaterIsTold() throws Exception {
    try (var _ = watch()) {
      Path inner = Files.createDirectory(directory.resolve("inner"));
      assertThat(isTold()).isTrue();
      told.drainPermits();
      Files.writeString(inner.resolve("a.yaml"), "1");
      assertThat(isTold()).isTrue();
    }
  }

  @Test
  void aLinkThatLeadsNowhereKeepsNothingFromBeingTold() throws Exception {
    Files.createSymbolicLink(directory.resolve("link.yaml"), directory.resolve("gone.yaml"));
    try (var _ = watch()) {
      Files.writeString(directory.resolve("a.yaml"), "1");
      assertThat(isTold()).isTrue();
    }
  }

  @Test
  void aFileWrittenInManyStepsIsToldWhenItIsWhole() throws Exception {
    try (var _ = watch()) {
      Path file = directory.resolve("a.yaml");
      Files.createFile(file);
      for (int i = 0; i < 20; i++) {
        Files.writeString(file, "line\n", StandardOpenOption.APPEND);
        Thread.sleep(2);
      }
      assertThat(isTold()).isTrue();
      Thread.sleep(200);
      assertThat(told.availablePermits()).isLessThanOrEqualTo(3);
    }
  }

  @Test
  void aDirectoryThatIsReplacedIsWatchedAgain() throws Exception {
    Path inner = Files.createDirectory(directory.resolve("inner"));
    Files.writeString(inner.resolve("a.yaml"), "1");
    try (var _ = watch(inner, Duration.ofMillis(100))) {
      Files.move(inner, directory.resolve("away"));
      Files.createDirectory(inner);
      Files.writeString(inner.resolve("b.yaml"), "1");
      assertThat(isTold()).isTrue();
      Thread.sleep(300);
      told.drainPermits();
      Files.writeString(inner.resolve("b.yaml"), "22");
      assertThat(isTold()).isTrue();
    }
  }

  @Test
  void whereNothingChangesNothingIsTold() throws Exception {
    Files.writeString(directory.resolve("a.yaml"), "1");
    try (var _ = watch(directory, Duration.ofMillis(20))) {
      Thread.sleep(200);
      assertThat(told.availablePermits()).isZero();
    }
  }
}
