// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.belongToAnyOf;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.AccessTarget;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaMethodCall;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Settings;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** A second opinion that used the compiler's own code would be the same opinion. */
class ReferenceSharesOnlyTheModelTest {

  private static final JavaClasses REFERENCE =
      new ClassFileImporter().importPackages("dev.weir.policy.reference");

  /** What the records of the model are made of. */
  private static final DescribedPredicate<JavaClass> VALUES =
      belongToAnyOf(Address.class, Block.class, Protocol.class, Settings.class)
          .as("the values that the model's records are made of");

  /** Methods of the model and of its values that compute something an answer could depend on. */
  private static final Set<String> OF_ADDRESS =
      Set.of("high", "low", "isV4", "bytes", "equals", "hashCode", "toString");

  @Test
  void itKnowsNothingOfWeirButTheModel() {
    classes()
        .that()
        .resideInAPackage("dev.weir.policy.reference")
        .should()
        .onlyDependOnClassesThat(
            resideInAnyPackage(
                    "java..",
                    "org.jspecify..",
                    "dev.weir.policy.reference",
                    "dev.weir.policy.model")
                .or(VALUES))
        .check(REFERENCE);
  }

  @Test
  void itUsesTheModelAsRecordsOnly() {
    noClasses()
        .that()
        .resideInAPackage("dev.weir.policy.reference")
        .should()
        .callMethodWhere(
            new DescribedPredicate<JavaMethodCall>("a method of the model that is no component") {
              @Override
              public boolean test(JavaMethodCall call) {
                AccessTarget.MethodCallTarget target = call.getTarget();
                JavaClass owner = target.getOwner();
                if (owner.isEquivalentTo(Address.class)) {
                  return !OF_ADDRESS.contains(target.getName());
                }
                return resideInAPackage("dev.weir.policy.model").test(owner) && !component(call);
              }
            })
        .check(REFERENCE);
  }

  private static boolean component(JavaMethodCall call) {
    JavaClass owner = call.getTargetOwner();
    String name = call.getTarget().getName();
    boolean ofRecord =
        owner.isRecord()
            && (owner.tryGetField(name).isPresent()
                || owner.isEquivalentTo(Mesh.class) && name.equals("defaults"));
    boolean ofEnum = owner.isEnum();
    boolean ofInterface = owner.getModifiers().contains(JavaModifier.ABSTRACT);
    return ofRecord || ofEnum || ofInterface || Set.of("equals", "hashCode").contains(name);
  }
}
