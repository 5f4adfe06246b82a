// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.authorize;

import dev.weir.policy.authorize.AccessPolicies.Applied;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Verdict.Decision;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Rows towards one destination after the other: what its NetworkPolicies and AuthorizationPolicies
 * say together, and where the source is isolated as well, what that side says too.
 *
 * <p>Sources that no rule about the destination tells apart are one group and judged once. What
 * most of the open ones may do, a row for ANY says for all of them; the others have rows of their
 * own wherever that would answer wrongly. The kernel looks for the pair first, from the narrow row
 * to the wide one, and only then for ANY.
 */
final class IngressRows {

  private final Sides sides;
  private final AccessPolicies access;
  private final PortSpace ports;
  private final RowTable rows;
  private final int[] sources;

  /** What the governed host may do to anybody; empty when it is not governed. */
  private final int[] management;

  private final boolean hostGoverned;

  // Groups are nodes of trees: what a group is a part of, and what tells it apart within that.
  private final IntList parent = new IntList();
  private final IntList item = new IntList();
  private final int[] groupOf;
  private final List<Item> items = new ArrayList<>();

  /** What most sources have to do with: it concerns all of them. */
  private final List<Item> common = new ArrayList<>();

  /** A reason for a verdict, and whom it concerns. */
  private sealed interface Item {
    /** A clause that names the source, with its codes towards the destination. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record Granted(int[] codes, int rule) implements Item {}

    /** A rule that the source may match. */
    record Matched(Applied applied, AccessRule rule, int answer) implements Item {}

    /** The governed host, and what it may always do. */
    record Managed() implements Item {}
  }

  IngressRows(
      Sides sides,
      AccessPolicies access,
      PortSpace ports,
      RowTable rows,
      int[] sources,
      int count,
      int[] management,
      boolean hostGoverned) {
    this.sides = sides;
    this.access = access;
    this.ports = ports;
    this.rows = rows;
    this.sources = sources;
    this.groupOf = new int[count];
    this.management = management;
    this.hostGoverned = hostGoverned;
  }

  /**
   * Adds the rows towards a destination. It becomes isolated if AuthorizationPolicies refuse or ask
   * anything.
   */
  void add(int destination) {
    List<Applied> policies = access.of(destination);
    Sides.Side side = sides.ingress(destination);
    if (side == Sides.Side.OPEN && policies.isEmpty()) {
      return;
    }
    group(destination, side, policies);
    Judge judge = new Judge(destination, side, policies);
    @Nullable PortFunction[] functions = new PortFunction[parent.size()];
    boolean decides = side != Sides.Side.OPEN;
    for (int source : sources) {
      if (source == Reserved.PROXY.index() || !judged(source)) {
        continue;
      }
      int group = groupOf[source];
      PortFunction function = functions[group];
      if (function == null) {
        function = judge.function(group);
        functions[group] = function;
        decides |= !function.only(Decision.ALLOW);
      }
    }
    if (!decides) {
      return;
    }
    sides.isolate(destination, policies);
    PortFunction base = anybody(destination, functions);
    for (int source : sources) {
      if (source == Reserved.PROXY.index() || !judged(source)) {
        continue;
      }
      PortFunction function = functions[groupOf[source]];
      if (function == null) {
        throw new IllegalStateException("a source that was not judged");
      }
      if (sides.egressIsolated(source)) {
        pair(source, destination, function);
      } else {
        put(source, destination, function, base);
      }
    }
    if (!hostGoverned && base.has(Decision.INSPECT)) {
      // Nobody judges the node's own processes, so the proxy must not either.
      rows.put(Reserved.HOST.index(), destination, PortCodes.EVERYTHING, Decision.ALLOW, 0);
    }
  }

  private boolean judged(int source) {
    return hostGoverned || source != Reserved.HOST.index();
  }

  // Groups.

  private void group(int destination, Sides.Side side, List<Applied> policies) {
    parent.clear();
    item.clear();
    items.clear();
    common.clear();
    parent.add(-1);
    item.add(-1);
    Arrays.fill(groupOf, 0);
    Splitter splitter = new Splitter();
    if (management.length > 0 && hostGoverned) {
      splitter.split(new int[] {Reserved.HOST.index()}, new Item.Managed());
    }
    if (side != Sides.Side.OPEN) {
      for (Grant grant : sides.ingressGrants(destination)) {
        Item granted = new Item.Granted(grant.codes(ports, destination), grant.rule());
        if (grant.all()) {
          common.add(granted);
        } else {
          splitter.split(grant.peers(), granted);
        }
      }
    }
    for (Applied applied : policies) {
      for (AccessRule rule : applied.policy().rules()) {
        if (rule.from().everybody()) {
          common.add(new Item.Matched(applied, rule, AccessRule.YES));
        } else {
          splitter.split(
              rule.from().members(),
              new Item.Matched(applied, rule, AccessRule.YES),
              new Item.Matched(applied, rule, AccessRule.DEPENDS));
        }
      }
    }
  }

  /** Takes those that something concerns out of the groups they are in. */
  private final class Splitter {

    private final Map<Integer, Integer> moved = new HashMap<>();

    void split(int[] identities, Item why) {
      moved.clear();
      int number = items.size();
      items.add(why);
      for (int identity : identities) {
        move(identity, number);
      }
    }

    /**
     * The same with two kinds of concern.
     *
     * @param members identity in the upper bits, 1 in the lowest for the first kind
     */
    void split(int[] members, Item first, Item second) {
      moved.clear();
      int number = items.size();
      items.add(first);
      for (int member : members) {
        if ((member & 1) == 1) {
          move(member >>> 1, number);
        }
      }
      moved.clear();
      number = items.size();
      items.add(second);
      for (int member : members) {
        if ((member & 1) == 0) {
          move(member >>> 1, number);
        }
      }
    }

    private void move(int identity, int why) {
      int from = groupOf[identity];
      int to = moved.computeIfAbsent(from, k -> parent.size());
      if (to == parent.size()) {
        parent.add(from);
        item.add(why);
      }
      groupOf[identity] = to;
    }
  }

  // What happens to a group.

  private final class Judge {

    private final int destination;
    private final Sides.Side side;
    private final List<Applied> policies;

    Judge(int destination, Sides.Side side, List<Applied> policies) {
      this.destination = destination;
      this.side = side;
      this.policies = policies;
    }

    PortFunction function(int group) {
      List<Item> concerned = new ArrayList<>(common);
      for (int node = group; item.get(node) >= 0; node = parent.get(node)) {
        concerned.add(items.get(item.get(node)));
      }
      IntList codes = new IntList();
      for (int code : PortFunction.WIDE) {
        codes.add(code);
      }
      for (Item why : concerned) {
        switch (why) {
          case Item.Granted granted -> addAll(codes, granted.codes());
          case Item.Managed managed -> addAll(codes, management);
          case Item.Matched matched -> matched.rule().codes(codes);
        }
      }
      for (Applied applied : policies) {
        applied.ports().ifPresent(p -> addAll(codes, p));
      }
      return PortFunction.of(codes.toSet(), code -> outcome(concerned, code));
    }

    private static void addAll(IntList codes, int[] more) {
      for (int code : more) {
        codes.add(code);
      }
    }

    private int outcome(List<Item> concerned, int code) {
      int granted = Integer.MAX_VALUE;
      AccessVerdict enforced = new AccessVerdict();
      AccessVerdict all = new AccessVerdict();
      for (Applied applied : policies) {
        if (!applied.policy().deny() && applied.on(code)) {
          all.guardedBy(applied.policy().rule());
          if (!applied.policy().audit()) {
            enforced.guardedBy(applied.policy().rule());
          }
        }
      }
      for (Item why : concerned) {
        switch (why) {
          case Item.Granted grant -> {
            if (PortCodes.covers(grant.codes(), code)) {
              granted = Math.min(granted, grant.rule());
            }
          }
          case Item.Managed managed -> {
            if (PortCodes.covers(management, code)) {
              return PortFunction.outcome(Decision.ALLOW, 0);
            }
          }
          case Item.Matched matched -> {
            if (matched.applied().on(code)) {
              AccessRule rule = matched.rule();
              int answer =
                  rule.answer(
                      matched.answer(),
                      destination,
                      PortCodes.protocol(code),
                      PortCodes.port(code),
                      access.sets());
              all.answered(rule, answer);
              if (!matched.applied().policy().audit()) {
                enforced.answered(rule, answer);
              }
            }
          }
        }
      }
      boolean named = side == Sides.Side.OPEN || granted != Integer.MAX_VALUE;
      if (!named && side == Sides.Side.ISOLATED) {
        return PortFunction.outcome(Decision.REFUSE, sides.ingressRule(destination));
      }
      int verdict = enforced.outcome();
      if (PortFunction.decision(verdict) != Decision.ALLOW) {
        return verdict;
      }
      if (!named) {
        return PortFunction.outcome(Decision.AUDIT, sides.ingressRule(destination));
      }
      int audited = all.outcome();
      if (PortFunction.decision(audited) == Decision.REFUSE) {
        return PortFunction.outcome(Decision.AUDIT, PortFunction.rule(audited));
      }
      return PortFunction.rule(verdict) == 0 && side != Sides.Side.OPEN
          ? PortFunction.outcome(Decision.ALLOW, granted)
          : verdict;
    }
  }

  // Rows.

  /** What most open sources may do, in rows for ANY. */
  private PortFunction anybody(int destination, @Nullable PortFunction[] functions) {
    int[] sizes = new int[functions.length];
    for (int source : sources) {
      if (source != Reserved.PROXY.index() && judged(source) && !sides.egressIsolated(source)) {
        sizes[groupOf[source]]++;
      }
    }
    Map<Members, Integer> counts = new HashMap<>();
    Optional<PortFunction> best = Optional.empty();
    int most = 0;
    for (int group = 0; group < functions.length; group++) {
      PortFunction function = functions[group];
      if (function != null && sizes[group] > 0) {
        int count = counts.merge(function.key(), sizes[group], Integer::sum);
        if (count > most) {
          most = count;
          best = Optional.of(function);
        }
      }
    }
    int miss = sides.missTowards(destination);
    PortFunction base = best.orElseGet(() -> PortFunction.constant(miss));
    int any = Reserved.ANY.index();
    int root = base.at(PortCodes.EVERYTHING);
    if (differ(root, miss)) {
      put(any, destination, PortCodes.EVERYTHING, root);
    }
    for (int code : base.codes()) {
      if (code == PortCodes.EVERYTHING) {
        continue;
      }
      int outcome = base.at(code);
      int behind = PortCodes.port(code) == 0 ? root : base.at(code & ~0xffff);
      if (differ(outcome, behind)) {
        put(any, destination, code, outcome);
      }
    }
    return base;
  }

  /** For ANY also the rule counts that a refusal is named after. */
  private static boolean differ(int a, int b) {
    Decision decision = PortFunction.decision(a);
    return decision == Decision.REFUSE || decision == Decision.AUDIT
        ? a != b
        : !PortFunction.alike(a, b);
  }

  /** Rows of a pair, where those of {@code base} would answer otherwise. */
  private void put(int source, int destination, PortFunction function, PortFunction base) {
    if (function == base) {
      return;
    }
    int root = function.at(PortCodes.EVERYTHING);
    boolean rooted = !PortFunction.alike(root, base.at(PortCodes.EVERYTHING));
    if (rooted) {
      put(source, destination, PortCodes.EVERYTHING, root);
    }
    for (int protocol = 1; protocol < PortFunction.WIDE.length; protocol++) {
      int code = PortFunction.WIDE[protocol];
      int wide = function.at(code);
      boolean own = !PortFunction.alike(wide, rooted ? root : base.at(code));
      if (own) {
        put(source, destination, code, wide);
      }
      narrow(source, destination, code, function, base, rooted || own);
      if (!rooted && !own) {
        // What the base names and this function does not, fares as its rest.
        for (int other : base.codes()) {
          if (other >>> 16 == protocol
              && PortCodes.port(other) != 0
              && Arrays.binarySearch(function.codes(), other) < 0
              && !PortFunction.alike(wide, base.at(other))) {
            put(source, destination, other, wide);
          }
        }
      }
    }
  }

  /**
   * Rows of single ports of a protocol.
   *
   * @param covered whether a row of the pair stands behind, and not those of {@code base}
   */
  private void narrow(
      int source,
      int destination,
      int wideCode,
      PortFunction function,
      PortFunction base,
      boolean covered) {
    int wide = function.at(wideCode);
    for (int code : function.codes()) {
      if (code >>> 16 == wideCode >>> 16 && PortCodes.port(code) != 0) {
        int outcome = function.at(code);
        if (!PortFunction.alike(outcome, covered ? wide : base.at(code))) {
          put(source, destination, code, outcome);
        }
      }
    }
  }

  private void put(int source, int destination, int code, int outcome) {
    rows.put(source, destination, code, PortFunction.decision(outcome), PortFunction.rule(outcome));
  }

  /** Rows of a pair whose source is isolated: only they are asked for. */
  private void pair(int source, int destination, PortFunction ingress) {
    List<Grant> grants = sides.egressGrants(source, destination);
    boolean audit = sides.egress(source) == Sides.Side.AUDIT;
    if (grants.isEmpty() && !audit) {
      return;
    }
    IntList codes = new IntList();
    for (int code : ingress.codes()) {
      codes.add(code);
    }
    List<int[]> granted = new ArrayList<>();
    int rule = 0;
    for (Grant grant : grants) {
      int[] own = grant.codes(ports, destination);
      granted.add(own);
      for (int code : own) {
        codes.add(code);
      }
      rule = rule == 0 ? grant.rule() : Math.min(rule, grant.rule());
    }
    int named = rule;
    PortFunction both =
        PortFunction.of(
            codes.toSet(),
            code -> {
              boolean out = granted.stream().anyMatch(own -> PortCodes.covers(own, code));
              int in = ingress.at(code);
              Decision decision = PortFunction.decision(in);
              if (!out && !audit) {
                return PortFunction.outcome(Decision.REFUSE, 0);
              }
              if (!out && decision == Decision.ALLOW) {
                return PortFunction.outcome(Decision.AUDIT, sides.egressRule(source));
              }
              return decision == Decision.ALLOW && PortFunction.rule(in) == 0
                  ? PortFunction.outcome(Decision.ALLOW, named)
                  : in;
            });
    put(source, destination, both, PortFunction.constant(sides.miss(source, destination)));
  }
}
