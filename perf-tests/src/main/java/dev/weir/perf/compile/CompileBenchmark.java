// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf.compile;

import dev.weir.policy.Compilation;
import dev.weir.policy.PolicyCompiler;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.source.SourceTree;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;

/** The compiler on {@link LargePolicy}. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
public class CompileBenchmark {

  private final SourceTree files = LargePolicy.files();

  /** Bytes in memory to plan. */
  @Benchmark
  public Plan compile() {
    return switch (PolicyCompiler.compile(files)) {
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
