// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.cli;

import dev.weir.node.identity.IdentityStatus;
import dev.weir.node.identity.Issued;
import dev.weir.node.identity.Listing;
import dev.weir.node.identity.RootStatus;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What the authority's commands answer, for people and for programs. */
final class CaReport {

  private CaReport() {}

  static Map<String, Object> json(Listing listing) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("trust_domain", listing.trustDomain());
    json.put("at", listing.at().toString());
    json.put("good", listing.good());
    json.put("problems", listing.problems());
    json.put("roots", listing.roots().stream().map(root -> json(root, listing.at())).toList());
    json.put(
        "identities",
        listing.identities().stream().map(identity -> json(identity, listing.at())).toList());
    return json;
  }

  private static Map<String, Object> json(RootStatus root, Instant at) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("id", root.id());
    json.put("subject", root.subject());
    json.put("serial", root.serial());
    json.put("role", root.role());
    json.put("not_before", root.notBefore().toString());
    json.put("not_after", root.notAfter().toString());
    json.put("days_left", days(at, root.notAfter()));
    json.put("signs_from", root.signsFrom().toString());
    json.put("last_leaf_ends", root.lastLeafEnds().toString());
    json.put("problem", optional(root.problem()));
    return json;
  }

  private static Map<String, Object> json(IdentityStatus identity, Instant at) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("id", identity.id());
    json.put("file", identity.file().toString());
    json.put("state", identity.state());
    json.put("problem", optional(identity.problem()));
    identity
        .leaf()
        .ifPresent(
            leaf -> {
              json.put("serial", leaf.serial());
              json.put("not_before", leaf.notBefore().toString());
              json.put("not_after", leaf.notAfter().toString());
              json.put("days_left", days(at, leaf.notAfter()));
              json.put("renew_from", leaf.renewFrom().toString());
              json.put("root", optional(leaf.root()));
            });
    return json;
  }

  static Map<String, Object> json(Issued issued, List<String> remarks) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("root", issued.root());
    json.put("bundle", issued.bundle().toString());
    json.put(
        "identities",
        issued.identities().stream()
            .map(
                identity -> {
                  Map<String, Object> each = new LinkedHashMap<>();
                  each.put("id", identity.id());
                  each.put("result", identity.result());
                  each.put("why", optional(identity.why()));
                  each.put("file", identity.file().toString());
                  each.put("not_after", identity.notAfter().toString());
                  each.put("renew_from", identity.renewFrom().toString());
                  return each;
                })
            .toList());
    json.put("remarks", remarks);
    return json;
  }

  private static Optional<String> optional(String text) {
    return text.isEmpty() ? Optional.empty() : Optional.of(text);
  }

  /** Days from one instant to another, rounded down to hundredths; less than 0 when it is over. */
  private static double days(Instant at, Instant end) {
    return Math.floor(Duration.between(at, end).toSeconds() / 864.0) / 100;
  }

  static String text(Listing listing) {
    List<String> lines = new ArrayList<>();
    lines.add("trust domain " + listing.trustDomain());
    listing.problems().forEach(problem -> lines.add("! " + problem));
    List<List<String>> roots = new ArrayList<>();
    roots.add(List.of("ROOT", "ROLE", "NOT BEFORE", "NOT AFTER", "LEFT", "LAST LEAF ENDS", ""));
    for (RootStatus root : listing.roots()) {
      roots.add(
          List.of(
              root.id(),
              root.role() == RootStatus.Role.waits
                  ? "signs from " + root.signsFrom()
                  : root.role().name(),
              root.notBefore().toString(),
              root.notAfter().toString(),
              left(listing.at(), root.notAfter()),
              root.lastLeafEnds().toString(),
              warning(root.problem())));
    }
    lines.addAll(table(roots));
    List<List<String>> identities = new ArrayList<>();
    identities.add(
        List.of("IDENTITY", "STATE", "SERIAL", "NOT BEFORE", "NOT AFTER", "LEFT", "ROOT", ""));
    for (IdentityStatus identity : listing.identities()) {
      Optional<IdentityStatus.Leaf> leaf = identity.leaf();
      identities.add(
          List.of(
              identity.id(),
              identity.state().name(),
              leaf.map(IdentityStatus.Leaf::serial).orElse("-"),
              leaf.map(l -> l.notBefore().toString()).orElse("-"),
              leaf.map(l -> l.notAfter().toString()).orElse("-"),
              leaf.map(l -> left(listing.at(), l.notAfter())).orElse("-"),
              leaf.map(IdentityStatus.Leaf::root).filter(r -> !r.isEmpty()).orElse("-"),
              warning(identity.problem())));
    }
    if (listing.identities().isEmpty()) {
      lines.add("no identities; weir ca issue --policy DIR");
    } else {
      lines.addAll(table(identities));
    }
    return String.join("\n", lines);
  }

  static String text(Issued issued, List<String> remarks) {
    List<List<String>> rows = new ArrayList<>();
    for (Issued.Identity identity : issued.identities()) {
      rows.add(
          List.of(
              identity.result().name(),
              identity.id(),
              identity.result() == Issued.Result.removed
                  ? "ended " + identity.notAfter()
                  : "until " + identity.notAfter() + ", renewed from " + identity.renewFrom(),
              identity.why().isEmpty() ? "" : "(" + identity.why() + ")"));
    }
    List<String> lines = new ArrayList<>(table(rows));
    lines.add("bundle " + issued.bundle() + ", signed by root " + issued.root());
    lines.addAll(remarks);
    return String.join("\n", lines);
  }

  private static String warning(String problem) {
    return problem.isEmpty() ? "" : "! " + problem;
  }

  private static String left(Instant at, Instant end) {
    Duration left = Duration.between(at, end);
    if (left.isNegative() || left.isZero()) {
      return "ended";
    }
    if (left.toHours() < 1) {
      return left.toMinutes() + "m";
    }
    return left.toDays() < 2 ? left.toHours() + "h" : left.toDays() + "d";
  }

  private static List<String> table(List<List<String>> rows) {
    int columns = rows.stream().mapToInt(List::size).max().orElse(0);
    int[] widths = new int[columns];
    for (List<String> row : rows) {
      for (int i = 0; i < row.size(); i++) {
        widths[i] = Math.max(widths[i], row.get(i).length());
      }
    }
    List<String> lines = new ArrayList<>();
    for (List<String> row : rows) {
      StringBuilder line = new StringBuilder();
      for (int i = 0; i < row.size(); i++) {
        line.append(row.get(i)).append(" ".repeat(widths[i] - row.get(i).length() + 2));
      }
      lines.add(line.toString().stripTrailing());
    }
    return lines;
  }
}
