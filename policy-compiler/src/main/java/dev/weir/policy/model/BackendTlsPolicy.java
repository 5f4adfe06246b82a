// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.plan.ProxyPlan.SubjectAltName;
import java.util.List;

/**
 * A {@code gateway.networking.k8s.io BackendTLSPolicy}: how the backends of a service are dialled.
 *
 * @param meta name and place
 * @param targets services of its namespace; {@code sectionName} is the name of a port
 * @param hostname server name (SNI), and name of the certificate
 * @param subjectAltNames one of which the certificate must have instead
 * @param systemTrust whether the system's authorities are trusted
 * @param authorities ConfigMaps of its namespace with {@code ca.crt}
 */
public record BackendTlsPolicy(
    Meta meta,
    List<Reference> targets,
    String hostname,
    List<SubjectAltName> subjectAltNames,
    boolean systemTrust,
    List<Reference> authorities)
    implements Resource {
  /** Copies the lists. */
  public BackendTlsPolicy {
    targets = List.copyOf(targets);
    subjectAltNames = List.copyOf(subjectAltNames);
    authorities = List.copyOf(authorities);
  }

  @Override
  public String kind() {
    return "BackendTLSPolicy";
  }
}
