// SPDX-License-Identifier: Apache-2.0
package dev.weir.architecture;

import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.assignableTo;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/**
 * Holds the arrows of docs/architecture.md. This module sees all the others; a rule fails also when
 * it finds no class that it speaks of, so none can go quiet.
 */
@AnalyzeClasses(
    packages = {"dev.weir.policy", "dev.weir.node", "dev.weir.proxy"},
    importOptions = ImportOption.DoNotIncludeTests.class)
final class ArrowsTest {
  /**
   * What each package of the proxy may know of policy: the plan, how a request finds a route,
   * whether it may be made, and which certificate proves an identity.
   */
  private static final String[] WHAT_THE_PROXY_KNOWS = {
    "dev.weir.policy.plan..",
    "dev.weir.policy.route..",
    "dev.weir.policy.rbac..",
    "dev.weir.policy.identity.."
  };

  // A plan is what loader and proxy share. It must not bring the rest of the compiler with it.
  @ArchTest
  static final ArchRule planKnowsOnlyItself =
      classes()
          .that()
          .resideInAPackage("dev.weir.policy.plan..")
          .should()
          .onlyDependOnClassesThat()
          .resideInAnyPackage("dev.weir.policy.plan..", "java..", "org.jspecify..");

  @ArchTest
  static final ArchRule routeKnowsOnlyThePlan =
      classes()
          .that()
          .resideInAPackage("dev.weir.policy.route..")
          .should()
          .onlyDependOnClassesThat()
          .resideInAnyPackage(
              "dev.weir.policy.route..",
              "dev.weir.policy.plan..",
              "java..",
              "javax.crypto..", // of java.base
              "org.jspecify..",
              "com.google.re2j..");

  @ArchTest
  static final ArchRule rbacKnowsOnlyThePlan =
      classes()
          .that()
          .resideInAPackage("dev.weir.policy.rbac..")
          .should()
          .onlyDependOnClassesThat()
          .resideInAnyPackage(
              "dev.weir.policy.rbac..", "dev.weir.policy.plan..", "java..", "org.jspecify..");

  @ArchTest
  static final ArchRule identityKnowsOnlyItself =
      classes()
          .that()
          .resideInAPackage("dev.weir.policy.identity..")
          .should()
          .onlyDependOnClassesThat()
          .resideInAnyPackage(
              "dev.weir.policy.identity..",
              "java..",
              "javax.security.auth.x500..", // of java.base
              "org.jspecify..");

  @ArchTest
  static final ArchRule policyIsPureJava =
      classes()
          .that()
          .resideInAPackage("dev.weir.policy..")
          .should()
          .onlyDependOnClassesThat()
          .resideInAnyPackage(
              "dev.weir.policy..",
              "java..",
              "javax.crypto..", // of java.base
              "javax.security.auth.x500..", // of java.base
              "org.jspecify..",
              "org.snakeyaml..",
              "com.fasterxml.jackson.core..",
              "picocli..",
              "com.google.re2j..");

  // Sockets, name look-ups and threads: the compiler's answer depends on its files alone.
  @ArchTest
  static final ArchRule policyKnowsNoNetwork =
      noClasses()
          .that()
          .resideInAPackage("dev.weir.policy..")
          .should()
          .dependOnClassesThat(
              resideInAnyPackage("java.net.http..", "javax.net..")
                  .or(assignableTo("java.net.Socket"))
                  .or(assignableTo("java.net.ServerSocket"))
                  .or(assignableTo("java.net.DatagramSocket"))
                  .or(assignableTo("java.nio.channels.NetworkChannel"))
                  .or(assignableTo("java.lang.Thread"))
                  .or(assignableTo("java.util.concurrent.Executor")));

  @ArchTest
  static final ArchRule onlySourceReadsYaml =
      noClasses()
          .that()
          .resideOutsideOfPackage("dev.weir.policy.source..")
          .should()
          .dependOnClassesThat()
          .resideInAPackage("org.snakeyaml..");

  @ArchTest
  static final ArchRule oneJsonForAll =
      noClasses()
          .that()
          .resideOutsideOfPackage("dev.weir.policy.json..")
          .should()
          .dependOnClassesThat()
          .resideInAPackage("com.fasterxml..");

  @ArchTest
  static final ArchRule onlyCommandLinesKnowPicocli =
      noClasses()
          .that()
          .resideOutsideOfPackages("dev.weir.policy.cli..", "dev.weir.node.cli..")
          .should()
          .dependOnClassesThat()
          .resideInAPackage("picocli..");

  @ArchTest
  static final ArchRule nodeDoesNotKnowTheProxy =
      noClasses()
          .that()
          .resideInAPackage("dev.weir.node..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage("dev.weir.proxy..", "io.netty..");

  // The kernel side takes a plan; only the agent and the commands may ask the compiler for one.
  // What
  // is written as JSON is written by the one writer there is, which knows nothing of policy.
  @ArchTest
  static final ArchRule kernelSideKnowsOnlyThePlan =
      noClasses()
          .that()
          .resideInAnyPackage(
              "dev.weir.node.bpf..", "dev.weir.node.kernel..", "dev.weir.node.telemetry..")
          .should()
          .dependOnClassesThat(
              resideInAPackage("dev.weir.policy..")
                  .and(
                      not(resideInAnyPackage("dev.weir.policy.plan..", "dev.weir.policy.json.."))));

  @ArchTest
  static final ArchRule onlyBpfIsNative =
      noClasses()
          .that()
          .resideOutsideOfPackage("dev.weir.node.bpf..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage("jnr..", "com.kenai..", "java.lang.foreign..");

  @ArchTest
  static final ArchRule bpfKnowsNothingAboveIt =
      noClasses()
          .that()
          .resideInAPackage("dev.weir.node.bpf..")
          .should()
          .dependOnClassesThat(
              resideInAPackage("dev.weir..").and(not(resideInAPackage("dev.weir.node.bpf.."))));

  @ArchTest
  static final ArchRule kernelKnowsNoAgentAndNoCommand =
      noClasses()
          .that()
          .resideInAPackage("dev.weir.node.kernel..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage(
              "dev.weir.node.agent..", "dev.weir.node.cli..", "dev.weir.node.telemetry..");

  @ArchTest
  static final ArchRule onlyIdentityKnowsBouncyCastle =
      noClasses()
          .that()
          .resideOutsideOfPackage("dev.weir.node.identity..")
          .should()
          .dependOnClassesThat()
          .resideInAPackage("org.bouncycastle..");

  @ArchTest
  static final ArchRule proxyDoesNotKnowTheNode =
      noClasses()
          .that()
          .resideInAPackage("dev.weir.proxy..")
          .should()
          .dependOnClassesThat()
          .resideInAPackage("dev.weir.node..");

  @ArchTest
  static final ArchRule proxyKnowsOnlyPlanAndRouteOfPolicy =
      noClasses()
          .that()
          .resideInAPackage("dev.weir.proxy..")
          .should()
          .dependOnClassesThat(
              resideInAPackage("dev.weir.policy..")
                  .and(not(resideInAnyPackage(WHAT_THE_PROXY_KNOWS))));

  // Each of these costs the proxy memory it does not have, or a privilege it must not hold. What it
  // knows of policy is held to plain Java above; scripts/check looks at the jars.
  @ArchTest
  static final ArchRule proxyHoldsNothingHeavy =
      noClasses()
          .that()
          .resideInAPackage("dev.weir.proxy..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage(
              "jnr..",
              "com.kenai..",
              "java.lang.foreign..",
              "org.bouncycastle..",
              "org.snakeyaml..",
              "com.fasterxml..",
              "picocli..");

  @ArchTest
  static final ArchRule packagesOfPolicyHaveNoCycles =
      slices().matching("dev.weir.policy.(*)..").should().beFreeOfCycles();

  @ArchTest
  static final ArchRule packagesOfNodeHaveNoCycles =
      slices().matching("dev.weir.node.(*)..").should().beFreeOfCycles();

  @ArchTest
  static final ArchRule packagesOfProxyHaveNoCycles =
      slices().matching("dev.weir.proxy.(*)..").should().beFreeOfCycles();
}
