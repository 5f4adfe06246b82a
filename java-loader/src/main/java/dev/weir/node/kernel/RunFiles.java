// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.PlanFormatException;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.policy.plan.TlsKeyPairCodec;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The files of the run and the state directory ({@code docs/protocols.md}). */
final class RunFiles {

  private static final String PLAN = ".plan";
  private static final String KEYS = ".keys";
  private static final String GENERATION = "generation-";
  private static final String LAST_GOOD = "last-good";
  private static final Set<String> HALF =
      Set.of(
          "form.tmp",
          "numbers.tmp",
          "objects.tmp",
          "programs.tmp",
          "reserved-ports.tmp",
          "untraced.tmp");
  private static final Pattern GENERATION_FILE = Pattern.compile("generation-(\\d{1,18})\\..*");

  private static final String POD_PORTS = "reserved-ports-";
  private static final Pattern POD_PORTS_FILE = Pattern.compile("reserved-ports-(\\d{1,18})");

  private final Path run;
  private final Path state;

  RunFiles(Places places) {
    this.run = places.runDir();
    this.state = places.stateDir();
  }

  Path lock() {
    return run.resolve("lock");
  }

  /** Of {@link ReservedPorts}; it goes with what it undoes. */
  Path reservedPorts() {
    return run.resolve("reserved-ports");
  }

  /** The same of a network namespace that is a workload's own. */
  Path reservedPorts(long cookie) {
    return run.resolve(POD_PORTS + Long.toUnsignedString(cookie));
  }

  /** Cookies of the namespaces of which there is such a file. */
  Set<Long> podsWithReservedPorts() {
    Set<Long> cookies = new HashSet<>();
    for (Path file : DurableFile.list(run)) {
      Matcher name = POD_PORTS_FILE.matcher(String.valueOf(file.getFileName()));
      if (name.matches()) {
        cookies.add(Long.valueOf(name.group(1)));
      }
    }
    return cookies;
  }

  private Path numbersFile() {
    return run.resolve("numbers");
  }

  private Path programsFile() {
    return run.resolve("programs");
  }

  /** The registry; empty when there is none. */
  Optional<Numbers> numbers() {
    return DurableFile.read(numbersFile())
        .map(bytes -> Numbers.parse(numbersFile(), new String(bytes, StandardCharsets.UTF_8)));
  }

  /** Whether there is a registry. */
  boolean haveNumbers() {
    return Files.exists(numbersFile());
  }

  void writeNumbers(Numbers numbers) {
    DurableFile.write(numbersFile(), numbers.bytes());
  }

  private Path formFile() {
    return run.resolve("form");
  }

  /** {@link Layouts#form} of the pinned maps; empty when not known. */
  String form() {
    return DurableFile.read(formFile())
        .map(bytes -> new String(bytes, StandardCharsets.UTF_8).strip())
        .orElse("");
  }

  void writeForm(String form) {
    DurableFile.write(formFile(), (form + "\n").getBytes(StandardCharsets.UTF_8));
  }

  /** Hash of the object whose programs are attached; empty when not known. */
  String programs() {
    return DurableFile.read(programsFile())
        .map(bytes -> new String(bytes, StandardCharsets.UTF_8).strip())
        .orElse("");
  }

  void writePrograms(String hash) {
    DurableFile.write(programsFile(), (hash + "\n").getBytes(StandardCharsets.UTF_8));
  }

  private Path untracedFile() {
    return run.resolve("untraced");
  }

  /**
   * Hash of the object of which this kernel took nothing that watches cgroups; empty when it took
   * that, or is not known.
   */
  String untraced() {
    return DurableFile.read(untracedFile())
        .map(bytes -> new String(bytes, StandardCharsets.UTF_8).strip())
        .orElse("");
  }

  /** Notes it; an empty hash takes it back. */
  void writeUntraced(String hash) {
    if (hash.isEmpty()) {
      DurableFile.remove(untracedFile());
    } else {
      DurableFile.write(untracedFile(), (hash + "\n").getBytes(StandardCharsets.UTF_8));
    }
  }

  /** Ids of what is pinned, as whoever pinned it knew them; empty when not known. */
  Optional<PinnedObjects> objects() {
    return DurableFile.read(objectsFile())
        .map(bytes -> PinnedObjects.parse(new String(bytes, StandardCharsets.UTF_8)));
  }

  private Path objectsFile() {
    return run.resolve("objects");
  }

  void writeObjects(PinnedObjects objects) {
    DurableFile.write(objectsFile(), objects.text().getBytes(StandardCharsets.UTF_8));
  }

  /** Keeps what a generation is made of, the plan as {@link PlanCodec} writes it. */
  void writeGeneration(long number, byte[] plan, List<TlsKeyPair> keyPairs) {
    DurableFile.write(run.resolve(GENERATION + number + KEYS), TlsKeyPairCodec.encode(keyPairs));
    DurableFile.write(run.resolve(GENERATION + number + PLAN), plan);
  }

  /** What a generation was made of; empty when it is not kept. */
  Optional<KernelNode.LastGood> generation(long number) {
    Path plan = run.resolve(GENERATION + number + PLAN);
    Optional<byte[]> planBytes = DurableFile.read(plan);
    if (planBytes.isEmpty()) {
      return Optional.empty();
    }
    Path keys = run.resolve(GENERATION + number + KEYS);
    Path reading = plan;
    try {
      Plan decoded = PlanCodec.decode(planBytes.get());
      reading = keys;
      Optional<byte[]> keyBytes = DurableFile.read(keys);
      return Optional.of(
          new KernelNode.LastGood(
              decoded, keyBytes.isPresent() ? TlsKeyPairCodec.decode(keyBytes.get()) : List.of()));
    } catch (PlanFormatException e) {
      throw new NodeException(reading + ": " + e.getMessage() + "; run weir apply again", e);
    }
  }

  /** Generations of which there are files, also half of them. */
  Set<Long> generations() {
    Set<Long> numbers = new HashSet<>();
    for (Path file : DurableFile.list(run)) {
      Matcher name = GENERATION_FILE.matcher(String.valueOf(file.getFileName()));
      if (name.matches()) {
        numbers.add(Long.valueOf(name.group(1)));
      }
    }
    return numbers;
  }

  /**
   * Removes the files of all other generations, and what somebody who was killed has not brought to
   * its name.
   */
  void keepGenerations(Set<Long> numbers) {
    for (Path file : DurableFile.list(run)) {
      String name = String.valueOf(file.getFileName());
      if (HALF.contains(name) || name.startsWith(POD_PORTS) && name.endsWith(".tmp")) {
        DurableFile.remove(file);
      }
      if (name.startsWith(GENERATION)
          && numbers.stream()
              .noneMatch(
                  n -> name.equals(GENERATION + n + PLAN) || name.equals(GENERATION + n + KEYS))) {
        DurableFile.remove(file);
      }
    }
  }

  /** One file, so that no plan is ever beside the keys of another. */
  void writeLastGood(byte[] plan, List<TlsKeyPair> keyPairs) {
    byte[] keys = TlsKeyPairCodec.encode(keyPairs);
    DurableFile.makeDirectory(state);
    DurableFile.write(
        state.resolve(LAST_GOOD),
        ByteBuffer.allocate(Integer.BYTES + plan.length + keys.length)
            .putInt(plan.length)
            .put(plan)
            .put(keys)
            .array());
  }

  /**
   * What was last good; empty when there is none.
   *
   * @throws NodeException when the file is damaged, or another version's
   */
  Optional<KernelNode.LastGood> lastGood() {
    Path file = state.resolve(LAST_GOOD);
    return DurableFile.read(file).map(bytes -> lastGood(file, bytes));
  }

  private static KernelNode.LastGood lastGood(Path file, byte[] bytes) {
    int plan = bytes.length < Integer.BYTES ? -1 : ByteBuffer.wrap(bytes).getInt();
    if (plan < 0 || plan > bytes.length - Integer.BYTES) {
      throw new NodeException(
          file + ": damaged or cut short (" + bytes.length + " bytes); the next apply replaces it");
    }
    int keys = Integer.BYTES + plan;
    try {
      return new KernelNode.LastGood(
          PlanCodec.decode(Arrays.copyOfRange(bytes, Integer.BYTES, keys)),
          TlsKeyPairCodec.decode(Arrays.copyOfRange(bytes, keys, bytes.length)));
    } catch (PlanFormatException e) {
      throw new NodeException(file + ": " + e.getMessage() + "; the next apply replaces it", e);
    }
  }

  /** Removes what goes with the pins, and the run directory if nothing else is in it. */
  void removeRun() {
    keepGenerations(Set.of());
    DurableFile.remove(programsFile());
    DurableFile.remove(untracedFile());
    DurableFile.remove(formFile());
    DurableFile.remove(objectsFile());
    DurableFile.remove(numbersFile());
    for (Path file : DurableFile.list(run)) {
      if (String.valueOf(file.getFileName()).endsWith(".tmp")) {
        DurableFile.remove(file);
      }
    }
    DurableFile.remove(lock());
    DurableFile.remove(run);
  }
}
