// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.BackendTlsPolicy;
import dev.weir.policy.model.EndpointSlice;
import dev.weir.policy.model.Gateway;
import dev.weir.policy.model.Ingress;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.Route;
import dev.weir.policy.model.Service;
import dev.weir.policy.model.TrafficPolicy;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.steer.Steering.Target;
import dev.weir.policy.steer.Steering.VirtualPort;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * Steers again after some services or workloads have changed, where nothing but services steers: no
 * route, no Gateway, no EndpointSlice. Then a service leads to whom it selects, and what others do
 * makes no difference to it.
 */
public final class Resteerer {

  /**
   * What it found.
   *
   * @param steering as {@link Steerer} would find it
   * @param findings what is to be said about it
   */
  public record Result(Steering steering, List<Diagnostic> findings) {}

  private final Cluster before;
  private final Cluster now;
  private final Steering was;
  private final List<Diagnostic> said;
  private final Set<Diagnostic> findings;

  private Resteerer(Cluster before, Cluster now, Steering was, List<Diagnostic> said) {
    this.before = before;
    this.now = now;
    this.was = was;
    this.said = said;
    this.findings = new HashSet<>(said);
  }

  /**
   * Where services lead now; empty when that takes more than looking at those that have changed.
   *
   * @param before of which {@code was} is the steering
   * @param now with workloads of the same names
   * @param said what was to be said about {@code was}
   */
  public static Optional<Result> steer(
      Cluster before, Cluster now, Steering was, List<Diagnostic> said) {
    boolean plain =
        now.all(Route.class).isEmpty()
            && now.all(Gateway.class).isEmpty()
            && now.all(Ingress.class).isEmpty()
            && now.all(EndpointSlice.class).isEmpty()
            && now.all(BackendTlsPolicy.class).isEmpty()
            && before.all(Route.class).isEmpty()
            && before.all(Gateway.class).isEmpty()
            && before.all(Ingress.class).isEmpty()
            && before.all(EndpointSlice.class).isEmpty()
            && before.all(BackendTlsPolicy.class).isEmpty()
            && was.fronts().isEmpty()
            && before.all(TrafficPolicy.class).equals(now.all(TrafficPolicy.class))
            && before.workloads().size() == now.workloads().size();
    // What goes by tunnel is led by services that say nothing of it.
    boolean tunnels = now.mesh().flatMap(Mesh::tunnels).isPresent();
    return plain && !tunnels ? new Resteerer(before, now, was, said).steer() : Optional.empty();
  }

  private Optional<Result> steer() {
    List<Service> services = now.all(Service.class);
    if (services.size() != was.services().size()) {
      return Optional.empty();
    }
    BitSet changed = new BitSet();
    for (int s = 0; s < services.size(); s++) {
      Service old = was.services().get(s);
      if (!is(services.get(s), old)) {
        if (!services.get(s).meta().qualifiedName().equals(old.meta().qualifiedName())) {
          return Optional.empty();
        }
        changed.set(s);
      }
    }
    if (!haveAddressesOfTheirOwn(services, changed) || !selectors(services, changed)) {
      return Optional.empty();
    }
    return Optional.of(result(services, changed));
  }

  @SuppressWarnings("ReferenceEquality") // what is the very same need not be compared
  private static boolean is(Object one, Object other) {
    return one == other;
  }

  /** Adds the services that select a workload that has changed; false when it is too much. */
  private boolean selectors(List<Service> services, BitSet changed) {
    // Workloads that are labelled alike are selected alike.
    Set<Labels> touched = new HashSet<>();
    for (int w = 0; w < now.workloads().size(); w++) {
      Workload old = before.workloads().get(w);
      Workload workload = now.workloads().get(w);
      if (is(old, workload)) {
        continue;
      }
      if (old.onThisNode() != workload.onThisNode()) {
        // Whether a service needs an address depends on whether anybody is here.
        return false;
      }
      touched.add(Labels.of(old));
      touched.add(Labels.of(workload));
      if (!Cluster.livesAs(old, workload)) {
        for (Service service : services) {
          for (Located<Address> address : service.addresses()) {
            if (workload.addresses().stream().anyMatch(a -> a.value().equals(address.value()))) {
              return false;
            }
          }
        }
      }
    }
    for (int s = 0; s < services.size() && !touched.isEmpty(); s++) {
      Service service = services.get(s);
      for (Labels workload : touched) {
        if (hasAll(workload, service.selector())
            && service.meta().namespace().equals(workload.namespace())) {
          changed.set(s);
          break;
        }
      }
    }
    return true;
  }

  private record Labels(String namespace, Map<String, String> labels) {
    static Labels of(Workload workload) {
      return new Labels(workload.meta().namespace(), workload.meta().labels());
    }
  }

  private static boolean hasAll(Labels workload, Map<String, String> selector) {
    for (Map.Entry<String, String> label : selector.entrySet()) {
      if (!label.getValue().equals(workload.labels().get(label.getKey()))) {
        return false;
      }
    }
    return true;
  }

  private boolean haveAddressesOfTheirOwn(List<Service> services, BitSet changed) {
    Set<Address> own = new HashSet<>();
    for (int s = changed.nextSetBit(0); s >= 0; s = changed.nextSetBit(s + 1)) {
      List<Address> addresses = addresses(services.get(s));
      if (!addresses.equals(addresses(was.services().get(s)))) {
        for (Address address : addresses) {
          if (!own.add(address)) {
            return false;
          }
        }
      }
    }
    if (own.isEmpty()) {
      return true;
    }
    int moved = own.size();
    for (int s = 0; s < services.size(); s++) {
      for (Located<Address> address : services.get(s).addresses()) {
        // Each is found once, where it is meant to be.
        if (own.contains(address.value()) && --moved < 0) {
          return false;
        }
      }
    }
    for (Workload workload : now.workloads()) {
      for (Located<Address> address : workload.addresses()) {
        if (own.contains(address.value())) {
          return false;
        }
      }
    }
    return true;
  }

  private static List<Address> addresses(Service service) {
    return service.addresses().stream().map(Located::value).toList();
  }

  private Result result(List<Service> services, BitSet changed) {
    Diagnostics old = new Diagnostics();
    Diagnostics found = new Diagnostics();
    Backends backends = new Backends(now, new Grants(now), found);
    Backends others = new Backends(before, new Grants(before), old);
    boolean anybodyHere = now.workloads().stream().anyMatch(Workload::onThisNode);
    TreeSet<Target> come = new TreeSet<>();
    for (int s = changed.nextSetBit(0); s >= 0; s = changed.nextSetBit(s + 1)) {
      backends.check(s, anybodyHere);
      others.check(s, anybodyHere);
      Service service = services.get(s);
      for (Located<Address> address : service.addresses()) {
        for (Service.Port port : service.ports()) {
          come.addAll(backends.targets(service, port, address.value().isV4()));
        }
      }
    }
    findings.removeAll(old.all());
    findings.addAll(found.all());
    Diagnostics all = new Diagnostics();
    all.addAll(List.copyOf(findings));

    // Targets that somebody else still leads to stay.
    BitSet used = new BitSet(was.targets().size());
    for (VirtualPort port : was.virtualPorts()) {
      if (!changed.get(port.service())) {
        for (int target : port.targets()) {
          used.set(target);
        }
      }
    }
    List<Target> added = new ArrayList<>();
    for (Target target : come) {
      int place = Collections.binarySearch(was.targets(), target);
      if (place >= 0) {
        used.set(place);
      } else {
        added.add(target);
      }
    }
    boolean sameTargets = added.isEmpty() && used.cardinality() == was.targets().size();
    List<Target> targets = sameTargets ? was.targets() : targets(used, added);
    int[] where = new int[was.targets().size()];
    Arrays.setAll(where, i -> i);
    if (!sameTargets) {
      for (int i = used.nextSetBit(0); i >= 0; i = used.nextSetBit(i + 1)) {
        where[i] = Collections.binarySearch(targets, was.targets().get(i));
      }
    }
    List<VirtualPort> ports = new ArrayList<>(was.virtualPorts().size());
    int at = 0;
    for (int s = 0; s < services.size(); s++) {
      int end = at;
      while (end < was.virtualPorts().size() && was.virtualPorts().get(end).service() == s) {
        end++;
      }
      if (changed.get(s)) {
        ports.addAll(
            Steerer.plain(backends, s, target -> Collections.binarySearch(targets, target)));
      } else if (sameTargets) {
        ports.addAll(was.virtualPorts().subList(at, end));
      } else {
        for (VirtualPort port : was.virtualPorts().subList(at, end)) {
          ports.add(moved(port, where));
        }
      }
      at = end;
    }
    return new Result(
        new Steering(
            services,
            targets,
            ports,
            List.of(),
            List.of(),
            List.of(),
            List.of(),
            List.of(),
            was.keyPairs(),
            was.identities(),
            was.authorities()),
        all.all().equals(said) ? said : all.all());
  }

  private List<Target> targets(BitSet used, List<Target> added) {
    List<Target> targets = new ArrayList<>(used.cardinality() + added.size());
    int next = 0;
    for (int i = used.nextSetBit(0); i >= 0; i = used.nextSetBit(i + 1)) {
      Target kept = was.targets().get(i);
      while (next < added.size() && added.get(next).compareTo(kept) < 0) {
        targets.add(added.get(next++));
      }
      targets.add(kept);
    }
    targets.addAll(added.subList(next, added.size()));
    return List.copyOf(targets);
  }

  /** The same port, with the numbers that its targets have now. */
  private static VirtualPort moved(VirtualPort port, int[] where) {
    boolean same = true;
    for (int target : port.targets()) {
      same = same && where[target] == target;
    }
    if (same) {
      return port;
    }
    List<Integer> targets = port.targets().stream().map(t -> where[t]).toList();
    return new VirtualPort(
        port.service(),
        port.address(),
        port.port(),
        port.protocol(),
        port.affinitySeconds(),
        targets,
        targets,
        port.front(),
        port.why());
  }
}
