// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.observe;

/**
 * A workload as metrics name it; {@code unknown} where nothing is known (Istio's convention).
 *
 * @param workload name
 * @param namespace of it
 * @param app label
 * @param version label
 * @param principal {@code spiffe://TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT}
 */
public record Peer(
    String workload, String namespace, String app, String version, String principal) {

  /** What Istio writes for what is not known. */
  public static final String UNKNOWN = "unknown";

  /** Nobody known. */
  public static final Peer NOBODY = new Peer(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN);

  /** With {@code unknown} for what is empty. */
  public Peer {
    workload = workload.isEmpty() ? UNKNOWN : workload;
    namespace = namespace.isEmpty() ? UNKNOWN : namespace;
    app = app.isEmpty() ? UNKNOWN : app;
    version = version.isEmpty() ? UNKNOWN : version;
    principal = principal.isEmpty() ? UNKNOWN : principal;
  }

  /** One of whom no principal is known. */
  public Peer(String workload, String namespace, String app, String version) {
    this(workload, namespace, app, version, UNKNOWN);
  }
}
