// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Block;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.rbac.StringMatch;
import dev.weir.policy.source.Position;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Whom lists of patterns of AuthorizationPolicies match: of workloads first, which are told apart
 * by it, then of identities. Each list is looked at once, however many rules have it.
 */
final class SourceSets {

  /** What a list of patterns is about. */
  enum Attribute {
    /** {@code trust-domain/ns/NAMESPACE/sa/ACCOUNT}. */
    PRINCIPAL,
    /** Of the principal. */
    NAMESPACE,
    /** Of the principal, as {@code NAMESPACE/ACCOUNT}. */
    SERVICE_ACCOUNT,
    /** Of the principal. */
    TRUST_DOMAIN,
    /** The peer's address. */
    ADDRESS
  }

  /** A list of patterns; a match of any is one of the list. */
  private record Patterns(Attribute attribute, List<String> values) {}

  private record Account(String namespace, String name) {}

  private final Cluster cluster;
  private final String trustDomain;
  private final Map<Account, IntList> accounts = new LinkedHashMap<>();
  private final Map<Patterns, Integer> numbers = new HashMap<>();
  private final List<Patterns> patterns = new ArrayList<>();
  private final List<BitSet> identities = new ArrayList<>();

  SourceSets(Cluster cluster) {
    this.cluster = cluster;
    this.trustDomain = cluster.mesh().map(Mesh::trustDomain).orElse(Mesh.TRUST_DOMAIN);
  }

  private Map<Account, IntList> accounts() {
    if (accounts.isEmpty()) {
      for (int w = 0; w < cluster.workloads().size(); w++) {
        accounts.computeIfAbsent(account(cluster.workloads().get(w)), k -> new IntList()).add(w);
      }
    }
    return accounts;
  }

  private static Account account(Workload workload) {
    String name = workload.serviceAccount();
    return new Account(workload.meta().namespace(), name.isEmpty() ? "default" : name);
  }

  /**
   * The address by which a workload is known to policies: its first one, on this node else
   * loopback, elsewhere else none.
   */
  static Optional<Address> address(Workload workload) {
    return workload
        .address()
        .map(a -> a.value())
        .or(() -> workload.onThisNode() ? Optional.of(Address.LOOPBACK4) : Optional.empty());
  }

  /** The number of a list of patterns. */
  int of(Attribute attribute, List<String> values) {
    return numbers.computeIfAbsent(
        new Patterns(attribute, List.copyOf(values)),
        key -> {
          patterns.add(key);
          return patterns.size() - 1;
        });
  }

  /** Tells workloads apart that a list matches from those that it does not. */
  void tellApart(IdentityPartition partition) {
    for (Patterns list : patterns) {
      partition.tellApart(workloads(list));
    }
  }

  private int[] workloads(Patterns list) {
    IntList found = new IntList();
    if (list.attribute() == Attribute.ADDRESS) {
      List<Block> blocks = list.values().stream().flatMap(v -> block(v).stream()).toList();
      for (int w = 0; w < cluster.workloads().size(); w++) {
        Optional<Address> address = address(cluster.workloads().get(w));
        if (address.isPresent() && blocks.stream().anyMatch(b -> b.contains(address.get()))) {
          found.add(w);
        }
      }
      return found.toArray();
    }
    List<StringMatch> matches = list.values().stream().map(StringMatch::of).toList();
    accounts()
        .forEach(
            (account, workloads) -> {
              String value = value(list.attribute(), account);
              for (StringMatch match : matches) {
                if (match.matches(value)) {
                  for (int i = 0; i < workloads.size(); i++) {
                    found.add(workloads.get(i));
                  }
                  break;
                }
              }
            });
    return found.toSet();
  }

  private String value(Attribute attribute, Account account) {
    return switch (attribute) {
      case PRINCIPAL -> trustDomain + "/ns/" + account.namespace() + "/sa/" + account.name();
      case NAMESPACE -> account.namespace();
      case SERVICE_ACCOUNT -> account.namespace() + "/" + account.name();
      case TRUST_DOMAIN -> trustDomain;
      case ADDRESS -> throw new IllegalArgumentException("an address is no part of an account");
    };
  }

  /** Blocks that outside addresses have to be cut by. */
  List<Peer.Addresses> blocks() {
    List<Peer.Addresses> blocks = new ArrayList<>();
    for (Patterns list : patterns) {
      if (list.attribute() == Attribute.ADDRESS) {
        list.values().forEach(v -> block(v).ifPresent(b -> blocks.add(peer(b))));
      }
    }
    return blocks;
  }

  private static Peer.Addresses peer(Block block) {
    return new Peer.Addresses(block, List.of(), new Position("", 0, 0));
  }

  /** An address or a block of them. */
  private static Optional<Block> block(String text) {
    return Block.parse(text).or(() -> Address.parse(text).map(address -> new Block(address, 128)));
  }

  /**
   * Finds the identities that each list matches.
   *
   * @param addressOnly identities that have no principal, each with a workload that has its address
   */
  void resolve(
      IdentityPartition partition, OutsideBlocks outside, Map<Integer, Integer> addressOnly) {
    identities.clear();
    for (Patterns list : patterns) {
      BitSet found = new BitSet();
      int[] workloads = workloads(list);
      for (int workload : workloads) {
        found.set(partition.identityOf(workload));
      }
      if (list.attribute() == Attribute.ADDRESS) {
        BitSet matched = BitSet.valueOf(new long[0]);
        for (int workload : workloads) {
          matched.set(workload);
        }
        addressOnly.forEach(
            (identity, workload) -> {
              if (matched.get(workload)) {
                found.set(identity);
              }
            });
        for (String value : list.values()) {
          block(value)
              .ifPresent(
                  b -> {
                    for (int identity : outside.identities(peer(b))) {
                      found.set(identity);
                    }
                    if (b.contains(Address.LOOPBACK4)) {
                      found.set(Reserved.HOST.index());
                      found.set(Reserved.UNKNOWN.index());
                    }
                  });
        }
      }
      identities.add(found);
    }
  }

  /** Identities that a list matches. */
  BitSet identities(int number) {
    return identities.get(number);
  }
}
