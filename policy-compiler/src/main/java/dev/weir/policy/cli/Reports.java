// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import dev.weir.policy.PlanBudget;
import dev.weir.policy.answer.Change;
import dev.weir.policy.answer.Explanation;
import dev.weir.policy.answer.Explanation.Finding;
import dev.weir.policy.answer.Remedy;
import dev.weir.policy.answer.Routing;
import dev.weir.policy.model.Budget;
import dev.weir.policy.model.Located;
import dev.weir.policy.plan.Footprint;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.ProxyPlan;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Service;
import dev.weir.policy.plan.Verdict;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.steer.Steering;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.IntStream;

/** Answers as JSON values; the names are documented in docs/policy.md and stay. */
public final class Reports {

  private Reports() {}

  /** Errors and warnings. */
  public static Map<String, Object> diagnostics(
      List<Diagnostic> errors, List<Diagnostic> warnings) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("ok", errors.isEmpty());
    report.put("errors", errors.stream().map(Reports::diagnostic).toList());
    report.put("warnings", warnings.stream().map(Reports::diagnostic).toList());
    return report;
  }

  private static Map<String, Object> diagnostic(Diagnostic diagnostic) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("file", diagnostic.at().file());
    report.put("line", diagnostic.at().line());
    report.put("column", diagnostic.at().column());
    report.put("field", diagnostic.field());
    report.put("message", diagnostic.message());
    report.put("remedy", diagnostic.remedy());
    diagnostic.lint().ifPresent(lint -> report.put("lint", lint.label()));
    return report;
  }

  /** A rule with its place. */
  public static Map<String, Object> rule(Rule rule) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("kind", rule.kind());
    report.put("namespace", rule.namespace());
    report.put("name", rule.name());
    report.put("clause", rule.clause());
    report.put("file", rule.file());
    report.put("line", rule.line());
    return report;
  }

  static Map<String, Object> explanation(Explanation explanation) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("from", explanation.from());
    report.put("to", explanation.to());
    report.put("protocol", explanation.protocol().name());
    report.put("port", explanation.port());
    report.put("verdict", word(explanation.decision()));
    report.put("tier", explanation.tier());
    report.put("why", explanation.why());
    report.put("rule", rule(explanation.decidedBy()));
    List<Object> findings = new ArrayList<>();
    for (Finding finding : explanation.findings()) {
      Map<String, Object> item = new LinkedHashMap<>();
      item.put("side", finding.side().name().toLowerCase(Locale.ROOT));
      item.put("effect", finding.effect().name().toLowerCase(Locale.ROOT));
      item.put("note", finding.note());
      item.put("rule", rule(finding.rule()));
      findings.add(item);
    }
    report.put("rules", findings);
    report.put("backends", explanation.backends().stream().map(Reports::explanation).toList());
    report.put("route", explanation.routed().map(Reports::routed));
    report.put("remedy", explanation.remedy().map(Reports::remedy));
    return report;
  }

  private static Map<String, Object> routed(Explanation.Routed routed) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("rule", routed.rule().map(Reports::rule));
    report.put("clause", routed.clause());
    report.put("status", routed.status());
    report.put("backends", shares(routed.shares()));
    return report;
  }

  static List<Map<String, Object>> shares(List<Routing.Share> shares) {
    return shares.stream()
        .map(
            share -> {
              Map<String, Object> item = new LinkedHashMap<>();
              int slash = share.service().indexOf('/');
              item.put("name", share.service().substring(slash + 1));
              item.put("namespace", slash < 0 ? "" : share.service().substring(0, slash));
              item.put("port", share.port());
              item.put("share", share.fraction());
              return item;
            })
        .toList();
  }

  private static Map<String, Object> remedy(Remedy remedy) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("note", remedy.note());
    report.put("changes", remedy.changes().stream().map(Reports::change).toList());
    return report;
  }

  private static Map<String, Object> change(Change change) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("kind", change.kind());
    report.put("namespace", change.namespace());
    report.put("name", change.name());
    report.put("file", change.file());
    report.put("line", change.line());
    Map<String, Object> patch = new LinkedHashMap<>();
    patch.put("op", "add");
    patch.put("path", change.path());
    patch.put("value", change.value());
    report.put("patch", List.of(patch));
    report.put("yaml", change.yaml());
    return report;
  }

  static String word(Verdict.Decision decision) {
    return decision.name().toLowerCase(Locale.ROOT);
  }

  static Map<String, Object> sizes(Plan plan) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("workloads", plan.workloads().size());
    report.put("identities", plan.identities().size());
    report.put("rules", plan.rules().size());
    report.put("verdicts", plan.verdicts().size());
    report.put("port_classes", plan.portClasses().size());
    report.put("services", plan.services().size());
    report.put("slots", plan.services().stream().mapToInt(s -> s.slots().size()).sum());
    report.put("backends", plan.backends().size() - 1);
    report.put("endpoints", plan.endpoints().size());
    report.put("cidrs", plan.cidrs().size());
    report.put("ports", plan.ports().size());
    report.put("listeners", plan.proxy().listeners().size());
    report.put("plan_bytes", PlanCodec.encode(plan).length);
    return report;
  }

  private static Map<String, Object> footprint(Plan plan, Budget budget) {
    Footprint footprint = Footprint.of(plan);
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("map_entries", footprint.entries());
    report.put("map_bytes", footprint.bytesOfBothSlots());
    report.put("proxy_bytes", footprint.proxyBytes());
    Map<String, Object> bounds = new LinkedHashMap<>();
    bounds.put("map_entries", budget.mapEntries().map(Located::value));
    bounds.put("map_bytes", budget.mapBytes().map(Located::value));
    bounds.put("proxy_bytes", budget.proxyBytes().map(Located::value));
    report.put("budget", bounds);
    report.put(
        "maps",
        footprint.tables().stream()
            .map(
                table -> {
                  Map<String, Object> item = new LinkedHashMap<>();
                  item.put("map", table.name());
                  item.put("entries", table.entries());
                  item.put("bytes", table.bytes());
                  return item;
                })
            .toList());
    report.put(
        "largest",
        PlanBudget.largest(plan).stream()
            .map(
                contributor -> {
                  Map<String, Object> item = new LinkedHashMap<>();
                  item.put("verdicts", contributor.verdicts());
                  item.put("rule", rule(contributor.rule()));
                  return item;
                })
            .toList());
    return report;
  }

  static Map<String, Object> plan(Plan plan, Steering steering, Budget budget) {
    Map<String, Object> report = new LinkedHashMap<>();
    report.put("mesh", plan.settings().mesh());
    report.put("proxy_needed", plan.proxy().needed());
    report.put("sizes", sizes(plan));
    report.put("footprint", footprint(plan, budget));
    List<Object> services = new ArrayList<>();
    for (Service service : plan.services()) {
      Map<String, Object> item = new LinkedHashMap<>();
      var workload = plan.workloads().get(service.workload());
      item.put("service", workload.namespace() + "/" + workload.name());
      item.put("address", service.address().toString());
      item.put("port", service.port());
      item.put("protocol", service.protocol().name());
      item.put("tier", service.tier().name().toLowerCase(Locale.ROOT));
      item.put("why", why(plan, steering, service));
      item.put(
          "backends",
          service.slots().stream()
              .map(slot -> plan.backends().get(slot))
              .map(b -> b.address() + " " + b.port())
              .toList());
      services.add(item);
    }
    report.put("services", services);
    List<Object> verdicts = new ArrayList<>();
    for (Verdict verdict : plan.verdicts()) {
      Map<String, Object> item = new LinkedHashMap<>();
      item.put("source", plan.identities().get(verdict.source()).description());
      item.put("destination", plan.identities().get(verdict.destination()).description());
      item.put("protocol", verdict.protocol().name());
      item.put("port", verdict.port());
      item.put("verdict", word(verdict.decision()));
      item.put("rule", plan.rules().get(verdict.rule()).describe());
      verdicts.add(item);
    }
    report.put("verdicts", verdicts);
    return report;
  }

  /** Why a service is served in its tier. */
  static String why(Plan plan, Steering steering, Service service) {
    if (service.tier() == Service.Tier.KERNEL) {
      return steering.virtualPorts().stream()
          .filter(v -> v.address().equals(service.address()) && v.port() == service.port())
          .filter(v -> v.protocol() == service.protocol())
          .map(Steering.VirtualPort::why)
          .findFirst()
          .orElse("the kernel picks a backend at connect");
    }
    Rule rule =
        plan.proxy().virtualServices().stream()
            .filter(v -> v.workload() == service.workload() && v.port() == service.port())
            .flatMapToInt(
                v ->
                    IntStream.concat(
                        v.everyRoute().mapToInt(ProxyPlan.Route::rule),
                        v.everyL4Route().mapToInt(ProxyPlan.L4Route::rule)))
            .mapToObj(plan.rules()::get)
            .findFirst()
            .orElse(Rule.ELSEWHERE);
    return rule.describe()
        + switch (rule.kind()) {
          case "AuthorizationPolicy" -> " looks at requests, which only the proxy can";
          case "TLSRoute", "TCPRoute" ->
              " chooses by server name or client, which only the proxy can";
          case "Mesh" -> " leads a workload of it by a tunnel, which only the proxy makes";
          default -> " chooses by request, which only the proxy can";
        };
  }
}
