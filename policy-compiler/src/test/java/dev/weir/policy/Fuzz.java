// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.Oracle.Disagreement;
import dev.weir.policy.RandomClusters.Feature;
import dev.weir.policy.reference.Outcome;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;

/**
 * Asks about random clusters for as long as it is told: {@code make fuzz}. A failure is written to
 * a file, with as few documents as it needs, and its seed is printed.
 */
final class Fuzz {

  static final Set<Feature> FEATURES = EnumSet.allOf(Feature.class);

  private static final int MOST_FAILURES = 5;

  private Fuzz() {}

  /**
   * Runs.
   *
   * @param args {@code --seconds N} or {@code --clusters N}; {@code --seed N} of the first cluster,
   *     else a random one; {@code --failures DIR} for clusters that fail, without which the first
   *     failure ends the run
   */
  public static void main(String[] args) throws IOException {
    PrintStream out = System.out;
    Map<String, String> options = new HashMap<>();
    for (int i = 0; i + 1 < args.length; i += 2) {
      options.put(args[i], args[i + 1]);
    }
    long seconds = Long.parseLong(options.getOrDefault("--seconds", "86400"));
    long clusters =
        Long.parseLong(options.getOrDefault("--clusters", Long.toString(Long.MAX_VALUE)));
    long first =
        options.containsKey("--seed")
            ? Long.parseLong(options.get("--seed"))
            : new Random().nextLong();
    Optional<Path> failures = Optional.ofNullable(options.get("--failures")).map(Path::of);
    long end = System.nanoTime() + Duration.ofSeconds(seconds).toNanos();
    out.println("fuzz: first seed " + first);
    long questions = 0;
    long asked = 0;
    int failed = 0;
    Map<Outcome, Integer> outcomes = new EnumMap<>(Outcome.class);
    while (asked < clusters
        && failed < (failures.isPresent() ? MOST_FAILURES : 1)
        && System.nanoTime() < end) {
      long seed = first + asked;
      asked++;
      List<String> documents = RandomClusters.documents(seed, FEATURES);
      Oracle.Result result = Oracle.ask(documents, seed);
      questions += result.questions();
      result.outcomes().forEach((o, n) -> outcomes.merge(o, n, Integer::sum));
      if (result.disagreement().isPresent()) {
        failed++;
        failure(out, documents, seed, result.disagreement().get(), failures);
      }
    }
    out.printf(
        "fuzz: %d clusters, %d questions, %d failures, %s%n", asked, questions, failed, outcomes);
    if (failed > 0) {
      System.exit(1);
    }
  }

  private static void failure(
      PrintStream out,
      List<String> documents,
      long seed,
      Disagreement found,
      Optional<Path> failures)
      throws IOException {
    if (failures.isEmpty()) {
      out.println("fuzz: seed " + seed + ": " + found);
      return;
    }
    Oracle.Shrunk shrunk = Oracle.shrink(documents, seed, found);
    Files.createDirectories(failures.get());
    Path file = failures.get().resolve("cluster-" + seed + ".yaml");
    Files.writeString(
        file,
        "# seed %d%n# %s%n%s"
            .formatted(
                seed,
                shrunk.disagreement().toString().replace("\n", "\n# "),
                String.join("---\n", shrunk.documents())));
    out.println("fuzz: seed " + seed + ": " + shrunk.disagreement());
    out.println(
        "fuzz: the cluster is in " + file + "; again: scripts/fuzz --clusters 1 --seed " + seed);
  }
}
