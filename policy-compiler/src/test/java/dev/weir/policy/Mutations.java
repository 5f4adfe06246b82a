// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;

/**
 * Seeds one bug after the other into the compiler and asks whether the oracle finds it: {@code make
 * mutate}. Only the file with the bug is compiled; its classes lie before the sound ones on the
 * class path of a child that runs {@link Fuzz} over the same clusters each time.
 */
final class Mutations {

  private static final String CLUSTERS = "1500";
  private static final String SEED = "20261121";

  /**
   * A bug.
   *
   * @param name what is then wrong
   * @param file below {@code dev/weir/policy}
   * @param sound text that occurs once
   * @param bug what takes its place
   */
  record Mutation(String name, String file, String sound, String bug) {

    /** The file with the bug. */
    String apply(String source) {
      int at = source.indexOf(sound);
      if (at < 0 || source.indexOf(sound, at + 1) >= 0) {
        throw new IllegalStateException(
            "mutation \"%s\": the text %s occurs %s in %s: mend mutations.txt"
                .formatted(name, sound, at < 0 ? "no more" : "more than once", file));
      }
      return source.substring(0, at) + bug + source.substring(at + sound.length());
    }
  }

  private Mutations() {}

  static List<Mutation> all() throws IOException {
    String text;
    try (InputStream in =
        Objects.requireNonNull(Mutations.class.getResourceAsStream("/mutations.txt"))) {
      text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
    List<Mutation> mutations = new ArrayList<>();
    for (String block : text.split("\n\n", -1)) {
      List<String> lines = block.lines().filter(l -> !l.startsWith("#")).toList();
      if (lines.isEmpty()) {
        continue;
      }
      if (lines.size() != 4 || !lines.get(2).startsWith("-") || !lines.get(3).startsWith("+")) {
        throw new IllegalStateException("mutations.txt: not a mutation: " + block);
      }
      mutations.add(
          new Mutation(
              lines.get(0), lines.get(1), lines.get(2).substring(1), lines.get(3).substring(1)));
    }
    return mutations;
  }

  /**
   * Runs.
   *
   * @param args root of the compiler's sources; directory to work in; then words, of which a
   *     mutation's name must have one, if there are any
   */
  public static void main(String[] args) throws Exception {
    PrintStream out = System.out;
    Path sources = Path.of(args[0]);
    Path work = Path.of(args[1]);
    List<String> words = List.of(args).subList(2, args.length);
    List<String> survived = new ArrayList<>();
    int run = 0;
    if (words.isEmpty() && !killed(Files.createDirectories(work.resolve("none"))).isEmpty()) {
      out.println("mutate: the oracle finds something without any seeded bug; mend that first");
      System.exit(1);
    }
    for (Mutation mutation : all()) {
      if (!words.isEmpty() && words.stream().noneMatch(mutation.name()::contains)) {
        continue;
      }
      Path classes = Files.createDirectories(work.resolve("m" + run++));
      compile(mutation, sources, classes);
      String finding = killed(classes);
      out.println(
          finding.isEmpty()
              ? "SURVIVED  " + mutation.name() + " (" + mutation.file() + ")"
              : "killed    " + mutation.name() + "  <-  " + finding);
      if (finding.isEmpty()) {
        survived.add(mutation.name());
      }
    }
    out.printf("mutate: %d seeded bugs, %d caught%n", run, run - survived.size());
    System.exit(survived.isEmpty() ? 0 : 1);
  }

  private static void compile(Mutation mutation, Path sources, Path classes) throws IOException {
    Path file = sources.resolve("dev/weir/policy").resolve(mutation.file());
    Path mutated = classes.resolve("source").resolve("dev/weir/policy").resolve(mutation.file());
    Files.createDirectories(Objects.requireNonNull(mutated.getParent()));
    Files.writeString(mutated, mutation.apply(Files.readString(file)));
    JavaCompiler javac = ToolProvider.getSystemJavaCompiler();
    StringWriter messages = new StringWriter();
    try (StandardJavaFileManager files = javac.getStandardFileManager(null, null, null)) {
      boolean compiled =
          javac
              .getTask(
                  messages,
                  files,
                  null,
                  List.of(
                      "-proc:none",
                      "-nowarn",
                      "-cp",
                      System.getProperty("java.class.path"),
                      "-d",
                      classes.toString()),
                  null,
                  files.getJavaFileObjects(mutated))
              .call();
      if (!compiled) {
        throw new IllegalStateException(
            "mutation \"" + mutation.name() + "\" does not compile: " + messages);
      }
    }
  }

  /** What the oracle found; empty when nothing. */
  private static String killed(Path classes) throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Xmx300m",
                "-cp",
                classes + ":" + System.getProperty("java.class.path"),
                Fuzz.class.getName(),
                "--clusters",
                CLUSTERS,
                "--seed",
                SEED)
            .redirectErrorStream(true)
            .redirectOutput(classes.resolve("output").toFile())
            .start();
    if (!process.waitFor(3, TimeUnit.MINUTES)) {
      process.destroyForcibly().waitFor();
      return "it hangs";
    }
    String output = Files.readString(classes.resolve("output"));
    return process.exitValue() == 0
        ? ""
        : output
            .lines()
            .filter(l -> l.contains(": seed ") || l.contains("Exception"))
            .findFirst()
            .map(l -> l.length() > 140 ? l.substring(0, 140) + "..." : l)
            .orElse("exit status " + process.exitValue());
  }
}
