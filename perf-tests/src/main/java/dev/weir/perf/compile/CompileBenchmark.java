// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.compile;

import dev.weir.policy.Compilation;
import dev.weir.policy.IncrementalCompiler;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceTree;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** The compiler on {@link LargePolicy}. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
public class CompileBenchmark {

  private final SourceTree files = LargePolicy.files();

  // Each change is there and gone again in turn, so that no call is given what the last one was.
  private final SourceTree otherPolicy =
      LargePolicy.with(files, LargePolicy.policy(LargePolicy.GROUPS / 2, 2048));
  private final SourceTree otherWorkloads =
      LargePolicy.with(files, LargePolicy.workloads(LargePolicy.GROUPS / 2, "v2"));
  private final SourceTree otherServices =
      LargePolicy.with(files, LargePolicy.services(LargePolicy.GROUPS / 2, 81));
  private final IncrementalCompiler incremental = new IncrementalCompiler();
  private boolean changed;

  /** Bytes in memory to plan. */
  @Benchmark
  public Plan compile() {
    return plan(PolicyCompiler.compile(files));
  }

  /** The same after the file of one policy has changed. */
  @Benchmark
  public Plan policyChanged() {
    return change(otherPolicy);
  }

  /** The same after a file of ten workloads has changed. */
  @Benchmark
  public Plan workloadsChanged() {
    return change(otherWorkloads);
  }

  /** The same after a file of five services has changed. */
  @Benchmark
  public Plan servicesChanged() {
    return change(otherServices);
  }

  /** The same files in a directory, one of them written before each call. */
  @State(Scope.Benchmark)
  public static class Written {

    /** Files that are younger may change once more without looking any different. */
    private static final long SETTLE_MILLIS = 300;

    private final IncrementalCompiler compiler = new IncrementalCompiler();
    private Path directory = Path.of("");
    private boolean changed;

    /** Writes them, and compiles them for the first time. */
    @Setup
    public void writeAll() throws IOException, InterruptedException {
      directory = Files.createTempDirectory("weir-bench");
      for (SourceFile file : LargePolicy.files().files()) {
        write(file);
      }
      Thread.sleep(SETTLE_MILLIS);
      plan(compiler.compileDirectory(directory));
    }

    /** Writes another policy for one of the groups. */
    @Setup(Level.Invocation)
    public void writeOne() throws IOException {
      changed = !changed;
      write(LargePolicy.policy(LargePolicy.GROUPS / 2, changed ? 2048 : 1024));
    }

    private void write(SourceFile file) throws IOException {
      Path path = directory.resolve(file.name());
      Files.createDirectories(path.getParent());
      Files.write(path, file.content());
    }

    /** Leaves nothing behind. */
    @TearDown
    public void remove() throws IOException {
      try (Stream<Path> all = Files.walk(directory)) {
        for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
          Files.delete(path);
        }
      }
    }
  }

  /** From a directory in which a policy's file was written, with the search for that file. */
  @Benchmark
  public Plan policyWritten(Written files) {
    return plan(files.compiler.compileDirectory(files.directory));
  }

  private Plan change(SourceTree other) {
    changed = !changed;
    return plan(incremental.compile(changed ? other : files));
  }

  private static Plan plan(Compilation compilation) {
    return switch (compilation) {
      case Compilation.Compiled compiled -> compiled.plan();
      case Compilation.Refused refused ->
          throw new IllegalStateException("refused: " + refused.errors().getFirst());
    };
  }

  /** Bytes in memory to the bytes of a plan, as they are kept and sent. */
  @Benchmark
  public byte[] compileAndEncode() {
    return PlanCodec.encode(compile());
  }
}
