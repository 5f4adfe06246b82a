// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Whatever is in a file, the compiler answers: a plan, or errors that say where. */
class HostileFilesTest {

  /** Far more than any of them takes, so that a busy machine fails nothing. */
  private static final Duration LONG = Duration.ofSeconds(60);

  private static final List<byte[]> MANIFESTS = manifests();

  private static List<byte[]> manifests() {
    try (Stream<Path> files = Files.walk(Path.of("src/test/resources/conformance"))) {
      return files
          .filter(f -> f.toString().endsWith(".yaml"))
          .sorted()
          .map(HostileFilesTest::content)
          .filter(c -> c.length > 0 && c.length < 8192)
          .toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static byte[] content(Path file) {
    try {
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static Stream<Map.Entry<String, Supplier<byte[]>>> files() {
    return HostileFiles.small().entrySet().stream();
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("files")
  void aHostileFileIsAnsweredInTime(Map.Entry<String, Supplier<byte[]>> file) {
    assertTimeoutPreemptively(
        LONG, () -> assertThat(HostileFiles.problem(file.getValue().get())).isEmpty());
  }

  @Property(tries = 500)
  void anyBytesAreAnswered(@ForAll @Size(max = 200) byte[] content) {
    assertThat(HostileFiles.problem(content)).isEmpty();
  }

  @Property(tries = 1500)
  void aManifestThatWasTamperedWithIsAnswered(@ForAll long seed) {
    Random random = new Random(seed);
    byte[] manifest =
        random.nextInt(3) == 0
            ? String.join("---\n", RandomClusters.documents(seed, RandomClusters.EVERYTHING))
                .getBytes(StandardCharsets.UTF_8)
            : MANIFESTS.get(random.nextInt(MANIFESTS.size()));
    byte[] content = HostileFiles.mutate(manifest, random);
    assertThat(HostileFiles.problem(content))
        .as(() -> new String(content, StandardCharsets.UTF_8))
        .isEmpty();
  }

  /** Of the compiler and its libraries, whoever runs this test with whatever class path. */
  private static String classPath() {
    return Stream.of(
            HostileFiles.class,
            PolicyCompiler.class,
            org.snakeyaml.engine.v2.api.LoadSettings.class,
            com.google.re2j.Pattern.class)
        .map(c -> c.getProtectionDomain().getCodeSource().getLocation().getPath())
        .distinct()
        .collect(Collectors.joining(File.pathSeparator));
  }

  @Test
  void aSmallHeapIsEnoughForHostileFiles() throws Exception {
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Xmx96m",
                "-cp",
                classPath(),
                HostileFiles.class.getName(),
                Integer.toString(300_000))
            .redirectErrorStream(true)
            .start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor(5, TimeUnit.MINUTES)).isTrue();
    assertThat(process.exitValue()).as(output).isZero();
  }
}
