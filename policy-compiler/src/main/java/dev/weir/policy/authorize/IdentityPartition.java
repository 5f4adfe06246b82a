// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.plan.Identity;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Cuts workloads into classes that nothing tells apart. Workloads are known by their index in the
 * cluster; the identity of a class is its index plus {@link Identity#FIRST}.
 */
final class IdentityPartition {

  /** Until it is cut. */
  private IntList[] signatures;

  private final Map<Members, Integer> distinct = new HashMap<>();
  private final int[] classOf;
  private final List<IntList> classes = new ArrayList<>();

  /** Of so many workloads. */
  IdentityPartition(int workloads) {
    signatures = new IntList[workloads];
    for (int i = 0; i < workloads; i++) {
      signatures[i] = new IntList();
    }
    classOf = new int[workloads];
  }

  /** Something means these workloads, ascending, and no others. */
  void tellApart(int[] workloads) {
    if (workloads.length == 0) {
      return;
    }
    tellApart(new Members(workloads));
  }

  /** The same. */
  void tellApart(Members members) {
    int number = distinct.size();
    if (distinct.putIfAbsent(members, number) == null) {
      int[] workloads = members.values();
      for (int workload : workloads) {
        signatures[workload].add(number);
      }
    }
  }

  /** Something treats workloads alike that have an equal key, and others not. */
  <K> void tellApart(Map<K, IntList> byKey) {
    byKey.values().forEach(workloads -> tellApart(workloads.toArray()));
  }

  /** Makes the classes of all that was told. */
  void cut() {
    Map<Members, Integer> byKey = new HashMap<>();
    for (int w = 0; w < classOf.length; w++) {
      int index = byKey.computeIfAbsent(new Members(signatures[w].toArray()), k -> classes.size());
      if (index == classes.size()) {
        classes.add(new IntList());
      }
      classes.get(index).add(w);
      classOf[w] = index;
    }
    signatures = new IntList[0];
    distinct.clear();
  }

  /** Whether another one made the same classes. */
  boolean isAs(IdentityPartition other) {
    return Arrays.equals(classOf, other.classOf);
  }

  /** How many classes there are. */
  int size() {
    return classes.size();
  }

  /** The first identity that is no class's. */
  int end() {
    return Identity.FIRST + classes.size();
  }

  /** Whether an identity is a class. */
  boolean holds(int identity) {
    return identity >= Identity.FIRST && identity < end();
  }

  /** A workload that stands for all of an identity. */
  int representative(int identity) {
    return classes.get(identity - Identity.FIRST).get(0);
  }

  /** How many workloads an identity has. */
  int members(int identity) {
    return classes.get(identity - Identity.FIRST).size();
  }

  int identityOf(int workload) {
    return classOf[workload] + Identity.FIRST;
  }

  /** Identities of workloads, ascending. */
  int[] identitiesOf(int[] workloads) {
    IntList identities = new IntList();
    for (int workload : workloads) {
      identities.add(identityOf(workload));
    }
    return identities.toSet();
  }
}
