// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.reference;

import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.Resource;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Settings.Direction;
import java.util.List;
import java.util.Optional;

/** The decision table of {@code docs/policy.md}, "Who may reach whom", line by line. */
public final class ReferenceEvaluator {

  private final Mesh mesh;
  private final NetworkPolicies networkPolicies;
  private final AuthorizationPolicies authorizationPolicies;
  private final PeerAuthentications peerAuthentications;

  /** Of the objects of all files. */
  public ReferenceEvaluator(List<Resource> resources) {
    List<Resource> all = List.copyOf(resources);
    this.mesh =
        all.stream()
            .filter(Mesh.class::isInstance)
            .map(Mesh.class::cast)
            .findFirst()
            .orElseGet(Mesh::defaults);
    this.networkPolicies = new NetworkPolicies(all, mesh);
    this.authorizationPolicies = new AuthorizationPolicies(all, mesh);
    this.peerAuthentications = new PeerAuthentications(all, mesh);
  }

  /** What becomes of a connection as it is made. */
  public Outcome connection(Party from, Party to, Protocol protocol, int port) {
    return outcome(from, to, protocol, port, new Attributes.NotYet());
  }

  /** What becomes of a TCP connection that carries no requests. */
  public Outcome bytes(Party from, Party to, int port) {
    return outcome(from, to, Protocol.TCP, port, new Attributes.Never());
  }

  /** What becomes of a request; never {@link Outcome#INSPECT}. */
  public Outcome request(Party from, Party to, int port, Attributes.Request request) {
    return outcome(from, to, Protocol.TCP, port, request);
  }

  /** What columns (3) and (4) alone make of a request. */
  public Outcome authorization(Party from, Party to, int port, Attributes.Request request) {
    return peerAuthentications.refuses(from, to, Protocol.TCP, port)
        ? Outcome.REFUSE
        : authorizationPolicies.ask(from, to, Protocol.TCP, port, request);
  }

  /** {@code TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT} of whoever has one, else nothing. */
  public String principal(Party party) {
    return authorizationPolicies.principalName(party);
  }

  /** The address that policies see of somebody, if there is one. */
  public static Optional<Address> address(Party party) {
    return AuthorizationPolicies.address(party);
  }

  private Outcome outcome(
      Party from, Party to, Protocol protocol, int port, Attributes attributes) {
    Outcome outcome = table(from, to, protocol, port, attributes);
    return outcome == Outcome.REFUSE && mesh.audit() ? Outcome.AUDIT : outcome;
  }

  private Outcome table(Party from, Party to, Protocol protocol, int port, Attributes attributes) {
    if (passes(from, to, protocol, port)) {
      return Outcome.ALLOW;
    }
    Outcome egress = networkPolicies.egress(from, to, protocol, port);
    Outcome ingress = networkPolicies.ingress(from, to, protocol, port);
    Outcome authorization = authorizationPolicies.ask(from, to, protocol, port, attributes);
    if (egress == Outcome.REFUSE
        || ingress == Outcome.REFUSE
        || authorization == Outcome.REFUSE
        || peerAuthentications.refuses(from, to, protocol, port)) {
      return Outcome.REFUSE;
    }
    if (authorization == Outcome.INSPECT) {
      return Outcome.INSPECT;
    }
    if (egress == Outcome.AUDIT || ingress == Outcome.AUDIT || authorization == Outcome.AUDIT) {
      return Outcome.AUDIT;
    }
    return Outcome.ALLOW;
  }

  /** Column (5). */
  private boolean passes(Party from, Party to, Protocol protocol, int port) {
    if (from instanceof Party.Host) {
      return !mesh.hostGoverned()
          || NetworkPolicies.managed(mesh, Direction.EGRESS, protocol, port);
    }
    return from instanceof Party.Declared && from.equals(to);
  }
}
