// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.measure;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Where it was measured.
 *
 * @param cpu model name of the first processor
 * @param processors online
 * @param memoryMib of the machine
 * @param kernel release
 * @param system name and version of the distribution
 * @param jdk version and vendor of the JVM that runs Weir
 * @param load runnable processes, average of the minute before the start
 */
public record Machine(
    String cpu,
    int processors,
    long memoryMib,
    String kernel,
    String system,
    String jdk,
    double load) {

  /** This machine, now. */
  public static Machine describe() throws MeasureException {
    return new Machine(
        after("/proc/cpuinfo", "model name").replaceFirst("^\\s*:\\s*", ""),
        Runtime.getRuntime().availableProcessors(),
        Long.parseLong(after("/proc/meminfo", "MemTotal:").replaceAll("\\D", "")) / 1024,
        text("/proc/sys/kernel/osrelease").strip(),
        after("/etc/os-release", "PRETTY_NAME=").replace("\"", ""),
        Runtime.version() + " (" + System.getProperty("java.vendor") + ")",
        Double.parseDouble(text("/proc/loadavg").split(" ", 2)[0]));
  }

  /** What makes two runs comparable. */
  public String key() {
    return cpu + " x" + processors + ", " + kernel;
  }

  /** One line for people. */
  public String line() {
    return "%s, %d processors, %d MiB; %s, Linux %s; JDK %s"
        .formatted(cpu, processors, memoryMib, system, kernel, jdk);
  }

  private static String text(String file) throws MeasureException {
    try {
      return Files.readString(Path.of(file));
    } catch (IOException e) {
      throw new MeasureException("cannot read " + file + ": " + e.getMessage(), e);
    }
  }

  /** The rest of the first line that begins with the word; "unknown" when there is none. */
  private static String after(String file, String word) throws MeasureException {
    List<String> lines = text(file).lines().toList();
    return lines.stream()
        .filter(line -> line.startsWith(word))
        .findFirst()
        .map(line -> line.substring(word.length()).strip())
        .orElse("unknown");
  }
}
