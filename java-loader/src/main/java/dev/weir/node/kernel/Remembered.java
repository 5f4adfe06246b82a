// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.TlsKeyPair;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/**
 * What one process knows of the generation that it put in force itself, so that the next one costs
 * what is different. It is used only while the kernel says that this generation is still in its
 * slot: a number is given once in the life of a mesh.
 *
 * @param mesh id of the pinned map {@code current}, which no two meshes of one boot share
 * @param generation its number
 * @param plan as applied
 * @param keyPairs as applied
 * @param workloads stable number of each workload, by index
 * @param rules stable number of each rule, by index
 * @param declared who lives where
 * @param own the network namespace whose ports are owned, as its tables have it
 * @param contents of its tables
 * @param before number of the generation in the other slot
 * @param declaredBefore who lives where in that one, when this process wrote it as well
 * @param unread whether no program has read that slot since this one was put in force
 */
record Remembered(
    int mesh,
    long generation,
    Plan plan,
    List<TlsKeyPair> keyPairs,
    List<Integer> workloads,
    List<Integer> rules,
    Map<String, Integer> declared,
    OwnNamespace own,
    Map<Table, Generation.Contents> contents,
    long before,
    Optional<Map<String, Integer>> declaredBefore,
    boolean unread) {

  /**
   * What only says who may reach whom. A change of one rule changes nothing else, as a rule, and
   * all other tables need not even be written down to be compared.
   */
  private static final Set<Table> OF_RULES =
      Set.of(
          Table.GENERATIONS,
          Table.VERDICTS,
          Table.IDENTITIES,
          Table.STRICT_PORTS,
          Table.RULES,
          Table.CIDRS,
          Table.PORT_CLASSES);

  /** Whether this is what a slot of a mesh holds. */
  boolean is(int otherMesh, OptionalLong otherGeneration) {
    return mesh == otherMesh && otherGeneration.equals(OptionalLong.of(generation));
  }

  /** The numbers of a plan's workloads, if they are those of this one. */
  Optional<List<Integer>> workloads(Plan next) {
    return plan.workloads().equals(next.workloads()) ? Optional.of(workloads) : Optional.empty();
  }

  /** The numbers of a plan's rules, if they are those of this one. */
  Optional<List<Integer>> rules(Plan next) {
    return plan.rules().equals(next.rules()) ? Optional.of(rules) : Optional.empty();
  }

  /** Who lives where by a plan, if that is what this one says. */
  Optional<Map<String, Integer>> declared(Plan next) {
    return plan.workloads().equals(next.workloads())
            && plan.settings().equals(next.settings())
            && plan.proxy().needed() == next.proxy().needed()
        ? Optional.of(declared)
        : Optional.empty();
  }

  /**
   * Whether both slots say of who lives where what a next generation says. What somebody else has
   * begun since, and has not brought to its end, has left the files of its generation behind.
   *
   * @param next who lives where
   * @param other number of the generation in the slot that is not in force
   * @param kept generations of which there are files
   */
  boolean everywhere(Map<String, Integer> next, OptionalLong other, Set<Long> kept) {
    return declared.equals(next)
        && declaredBefore.filter(next::equals).isPresent()
        && other.equals(OptionalLong.of(before))
        && kept.equals(Set.of(generation, before));
  }

  /** Whether nobody reads the slot in which this number is, and which is not in force. */
  boolean unread(OptionalLong other) {
    return unread && other.equals(OptionalLong.of(before));
  }

  /** Those tables that another plan says the same about, because it differs in rules alone. */
  Map<Table, Generation.Contents> apartFromRules(
      Plan next, List<Integer> numbers, OwnNamespace ownNow) {
    Plan withOurRules =
        new Plan(
            next.settings(),
            next.workloads(),
            plan.identities(),
            plan.rules(),
            plan.verdicts(),
            plan.portClasses(),
            next.services(),
            next.backends(),
            next.endpoints(),
            plan.cidrs(),
            next.ports(),
            next.proxy(),
            next.traffic());
    Map<Table, Generation.Contents> same = new EnumMap<>(Table.class);
    if (withOurRules.equals(plan) && workloads.equals(numbers) && own.equals(ownNow)) {
      same.putAll(contents);
      same.keySet().removeAll(OF_RULES);
    }
    return same;
  }

  /** The tables of another generation that have the same contents. */
  Set<Table> same(Generation next) {
    Set<Table> same = EnumSet.noneOf(Table.class);
    contents.forEach(
        (table, content) -> {
          if (content.equals(next.contents().get(table))) {
            same.add(table);
          }
        });
    return same;
  }
}
