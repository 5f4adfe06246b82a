// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectPackage;

import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.time.Duration;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.platform.engine.DiscoverySelector;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.support.descriptor.ClassSource;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.EngineFilter;
import org.junit.platform.launcher.Launcher;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.LauncherSession;
import org.junit.platform.launcher.TagFilter;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/**
 * The kernel tests of this package in one process, for machines too slow to start a JVM for each of
 * them (scripts/test-kernels). Prints a line of TAP per test; the reason of a failure goes before
 * it. Without arguments what kernels differ in runs: hooks, ways around them, swaps and kills;
 * {@code --all} goes on with the rest of the package. With {@code -Dweir.seconds=N} none begins
 * after so long, and is told as skipped.
 */
final class KernelSuite {

  /** Every hook, every way around, swaps, kills: for two emulated machines within ten minutes. */
  private static final List<String> CASES =
      List.of("AllowAndRefuseTest", "BypassTest", "GenerationSwapTest", "KillTest");

  /** What goes on after these, before the rest. */
  private static final List<String> NEXT =
      List.of(
          "IngressTest",
          "ServiceTest",
          "RedirectTest",
          "UdpReplyTest",
          "RevocationTest",
          "StrictTest");

  private static final String ALL = "--all";

  /**
   * Tag of what needs processors that run side by side. Emulated ones take turns: hardly ever would
   * there be a swap between two reads. It runs on the host's kernel.
   */
  static final String SIDE_BY_SIDE = "side-by-side";

  private KernelSuite() {}

  /**
   * Runs.
   *
   * @param arguments simple names of test classes, in their order; none: {@link #CASES}; {@value
   *     #ALL}: all of the package
   */
  public static void main(String[] arguments) {
    long end =
        System.nanoTime() + Duration.ofSeconds(Long.getLong("weir.seconds", 86_400)).toNanos();
    String here = KernelSuite.class.getPackageName();
    LauncherSession session = LauncherFactory.openSession();
    Launcher launcher = session.getLauncher();
    Tap tap = new Tap(System.out);
    List<String> classes =
        arguments.length == 0
            ? CASES
            : arguments[0].equals(ALL)
                ? classes(launcher.discover(request(selectPackage(here))))
                : List.of(arguments);
    for (String name : classes) {
      if (System.nanoTime() > end) {
        tap.skip(name, "no time left");
      } else {
        launcher.execute(request(selectClass(here + "." + name)), tap);
      }
    }
    session.close();
    System.exit(tap.failures == 0 && tap.count > 0 ? 0 : 1);
  }

  private static LauncherDiscoveryRequest request(DiscoverySelector selector) {
    return LauncherDiscoveryRequestBuilder.request()
        .selectors(selector)
        .filters(EngineFilter.includeEngines("junit-jupiter"), TagFilter.excludeTags(SIDE_BY_SIDE))
        .configurationParameter(
            "junit.jupiter.execution.timeout.default",
            KernelTest.patiently(Duration.ofMinutes(2)).toSeconds() + " s")
        .build();
  }

  private static List<String> classes(TestPlan plan) {
    List<String> known = Stream.of(CASES, NEXT).flatMap(List::stream).toList();
    Comparator<String> order =
        Comparator.comparingInt(name -> known.contains(name) ? known.indexOf(name) : known.size());
    return plan.getRoots().stream()
        .flatMap(root -> plan.getChildren(root).stream())
        .flatMap(test -> test.getSource().stream())
        .map(source -> simple(((ClassSource) source).getClassName()))
        .sorted(order.thenComparing(Comparator.naturalOrder()))
        .toList();
  }

  private static final class Tap implements TestExecutionListener {
    private final PrintStream out;
    private final Map<String, Long> started = new HashMap<>();
    private int count;
    private int failures;

    Tap(PrintStream out) {
      this.out = out;
    }

    @Override
    public void executionStarted(TestIdentifier test) {
      started.put(test.getUniqueId(), System.nanoTime());
    }

    @Override
    public void executionSkipped(TestIdentifier test, String reason) {
      line(true, test, " # SKIP " + reason);
    }

    @Override
    public void executionFinished(TestIdentifier test, TestExecutionResult result) {
      long nanos = System.nanoTime() - started.getOrDefault(test.getUniqueId(), System.nanoTime());
      out.println("# " + Duration.ofNanos(nanos).toMillis() + " ms " + test.getDisplayName());
      String reason =
          result.getThrowable().map(KernelSuite::firstLine).orElseGet(() -> "no reason given");
      switch (result.getStatus()) {
        case SUCCESSFUL -> {
          if (test.isTest()) {
            line(true, test, "");
          }
        }
        case ABORTED -> line(true, test, " # SKIP " + reason);
        case FAILED -> {
          failures++;
          StringWriter trace = new StringWriter();
          result.getThrowable().ifPresent(e -> e.printStackTrace(new PrintWriter(trace)));
          trace.toString().lines().limit(25).forEach(text -> out.println("# " + text));
          line(false, test, "");
        }
      }
    }

    void skip(String name, String reason) {
      count++;
      out.println("ok " + count + " - " + name + " # SKIP " + reason);
    }

    private void line(boolean good, TestIdentifier test, String remark) {
      count++;
      out.println((good ? "ok " : "not ok ") + count + " - " + name(test) + remark);
    }
  }

  private static String name(TestIdentifier test) {
    return test.getSource()
        .map(
            source ->
                switch (source) {
                  case MethodSource method ->
                      simple(method.getClassName())
                          + " "
                          + (test.getDisplayName().startsWith(method.getMethodName())
                              ? method.getMethodName()
                              : method.getMethodName() + " " + test.getDisplayName());
                  case ClassSource type -> simple(type.getClassName());
                  default -> test.getDisplayName();
                })
        .orElse(test.getDisplayName());
  }

  private static String simple(String className) {
    return className.substring(className.lastIndexOf('.') + 1);
  }

  private static String firstLine(Throwable thrown) {
    return String.valueOf(thrown.getMessage()).lines().findFirst().orElse(thrown.toString());
  }
}
