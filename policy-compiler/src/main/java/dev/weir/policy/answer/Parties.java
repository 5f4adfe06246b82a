// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.answer;

import dev.weir.policy.Analysis;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortOwner;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.VerdictIndex;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Who is meant by a name, and by which identity the plan knows them. */
final class Parties {

  private final Analysis analysis;
  private final Plan plan;
  private final VerdictIndex index;
  private final List<Workload> workloads;
  private final List<Service> services;

  Parties(Analysis analysis, Plan plan, VerdictIndex index) {
    this.analysis = analysis;
    this.plan = plan;
    this.index = index;
    this.workloads = analysis.cluster().workloads();
    this.services = analysis.steering().services();
  }

  /** See {@link Explainer#party}. */
  Party named(String text, Protocol protocol, int port) throws Explainer.UnclearException {
    if (text.equals("host")) {
      return new Party.Host();
    }
    if (text.equals("unknown")) {
      return new Party.Unknown();
    }
    if (text.equals("proxy") && port != 0) {
      return new Party.Proxy();
    }
    Optional<Address> address = Address.parse(text);
    if (address.isPresent()) {
      return at(address.get(), protocol, port);
    }
    String rest = text;
    boolean wantService = port != 0;
    boolean wantWorkload = true;
    for (String prefix : List.of("service/", "svc/", "workload/")) {
      if (text.startsWith(prefix)) {
        rest = text.substring(prefix.length());
        wantService = !prefix.equals("workload/");
        wantWorkload = !wantService;
      }
    }
    List<Party> found = new ArrayList<>();
    for (int s = 0; s < services.size() && wantService; s++) {
      // A bare name that both have means the service only if the service has the port.
      if (named(services.get(s), rest)
          && (!wantWorkload || hasPort(services.get(s), protocol, port))) {
        found.add(new Party.Virtual(s, services.get(s).meta().qualifiedName()));
      }
    }
    for (int w = 0; w < workloads.size() && wantWorkload && found.isEmpty(); w++) {
      if (named(workloads.get(w), rest)) {
        found.add(declared(w));
      }
    }
    if (found.isEmpty() && wantService && wantWorkload) {
      return named("service/" + rest, protocol, port);
    }
    if (found.isEmpty()) {
      throw new Explainer.UnclearException(
          "nobody is called \""
              + text
              + "\": NAMESPACE/NAME of a Workload or Service, an IP address, host or unknown");
    }
    if (found.size() > 1) {
      throw new Explainer.UnclearException(
          "\""
              + text
              + "\" may be any of "
              + String.join(", ", found.stream().map(Party::name).toList())
              + ": write NAMESPACE/NAME");
    }
    return found.getFirst();
  }

  Party.Declared declared(int workload) {
    return new Party.Declared(workload, workloads.get(workload).meta().qualifiedName());
  }

  private static boolean named(Resource resource, String text) {
    return text.equals(resource.meta().qualifiedName()) || text.equals(resource.meta().name());
  }

  private static boolean hasPort(Service service, Protocol protocol, int port) {
    return service.ports().stream().anyMatch(p -> p.port() == port && p.protocol() == protocol);
  }

  private boolean believes(Workload workload, Address address) {
    return analysis.cluster().believedAddresses(workload).stream()
        .anyMatch(a -> a.value().equals(address));
  }

  private Party at(Address address, Protocol protocol, int port) {
    for (int s = 0; s < services.size(); s++) {
      for (Located<Address> virtual : services.get(s).addresses()) {
        if (virtual.value().equals(address)) {
          return new Party.Virtual(s, services.get(s).meta().qualifiedName());
        }
      }
    }
    for (int w = 0; w < workloads.size(); w++) {
      if (believes(workloads.get(w), address)) {
        return declared(w);
      }
    }
    if (!address.isLoopback()) {
      return new Party.Outside(address);
    }
    for (PortOwner owner : plan.ports()) {
      if (!owner.apart() && owner.protocol() == protocol && owner.port() == port) {
        int workload = owner.workload() - firstWorkload();
        return owner.workload() == Reserved.PROXY.index() || plan.settings().servedByAgent(owner)
            ? new Party.Proxy()
            : workload < 0 ? new Party.Host() : declared(workload);
      }
    }
    return new Party.Host();
  }

  /** Index of the cluster's first workload in the plan. */
  private int firstWorkload() {
    return plan.workloads().size() - workloads.size();
  }

  /** Index in the cluster of a workload of the plan. */
  int workload(int planIndex) {
    return planIndex - firstWorkload();
  }

  int identity(Party party) {
    return switch (party) {
      case Party.Declared declared ->
          plan.workloads().get(firstWorkload() + declared.index()).identity();
      case Party.Host host -> Reserved.HOST.index();
      case Party.Unknown unknown -> Reserved.UNKNOWN.index();
      case Party.Proxy proxy -> Reserved.PROXY.index();
      case Party.Outside outside -> index.outside(outside.address());
      case Party.Virtual virtual ->
          plan.workloads().get(firstWorkload() - services.size() + virtual.index()).identity();
    };
  }
}
