// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import dev.weir.policy.schema.Schemas;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.DocumentReader;
import dev.weir.policy.source.Node;
import dev.weir.policy.source.Node.Mapping;
import dev.weir.policy.source.Node.Sequence;
import dev.weir.policy.source.Purpose;
import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceTree;
import dev.weir.policy.source.Texts;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * Makes resources of documents.
 *
 * <p>A kind that says nothing about traffic is passed over. A kind that does and that this version
 * cannot honour is an error: leaving it out would allow what its author forbade.
 */
public final class ResourceReader {

  private static final Pattern NAMESPACE = Pattern.compile("[a-z0-9]([-a-z0-9]*[a-z0-9])?");

  /** {@code group/kind} of what decides about traffic and is not read yet, with what to do. */
  private static final Map<String, String> NOT_YET = notYet();

  /** Groups whose kinds decide about traffic, so that an unknown one of them cannot be left out. */
  private static final Set<String> GROUPS_THAT_MATTER =
      Set.of(
          "weir.dev",
          "networking.k8s.io",
          "policy.networking.k8s.io",
          "gateway.networking.k8s.io",
          "gateway.networking.x-k8s.io",
          "security.istio.io",
          "networking.istio.io",
          "extensions.istio.io",
          "policy.linkerd.io");

  private static final Set<String> HARMLESS =
      Set.of(
          "networking.k8s.io/IngressClass",
          "networking.k8s.io/IPAddress",
          "networking.k8s.io/ServiceCIDR",
          "gateway.networking.k8s.io/GatewayClass",
          "networking.istio.io/ProxyConfig");

  private final Diagnostics diagnostics;
  private final Schemas schemas = new Schemas();
  private final List<Resource> resources = new ArrayList<>();

  private ResourceReader(Diagnostics diagnostics) {
    this.diagnostics = diagnostics;
  }

  private static Map<String, String> notYet() {
    Map<String, String> kinds = new HashMap<>();
    for (String kind : List.of("ListenerSet", "XListenerSet")) {
      kinds.put("gateway.networking.k8s.io/" + kind, "write its listeners into the Gateway");
      kinds.put("gateway.networking.x-k8s.io/" + kind, "write its listeners into the Gateway");
    }
    kinds.put(
        "gateway.networking.k8s.io/UDPRoute", "let a Service with several backends do it instead");
    for (String kind :
        List.of("VirtualService", "DestinationRule", "ServiceEntry", "Sidecar", "EnvoyFilter")) {
      kinds.put("networking.istio.io/" + kind, "say it as HTTPRoute, or leave it out");
    }
    kinds.put("networking.istio.io/Gateway", "say it as Gateway of gateway.networking.k8s.io/v1");
    for (String kind : List.of("WorkloadEntry", "WorkloadGroup")) {
      kinds.put("networking.istio.io/" + kind, "say it as Workload of weir.dev/v1alpha1");
    }
    kinds.put("extensions.istio.io/WasmPlugin", "leave it out: nothing runs inside the proxy");
    for (String kind :
        List.of("AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy")) {
      kinds.put(
          "policy.networking.k8s.io/" + kind,
          "say it as NetworkPolicy in each namespace, or leave it out");
    }
    for (String kind :
        List.of(
            "Server",
            "ServerAuthorization",
            "AuthorizationPolicy",
            "MeshTLSAuthentication",
            "NetworkAuthentication")) {
      kinds.put(
          "policy.linkerd.io/" + kind, "say it as AuthorizationPolicy of security.istio.io/v1");
    }
    kinds.put("policy.linkerd.io/HTTPRoute", "say it as HTTPRoute of gateway.networking.k8s.io/v1");
    for (String kind : List.of("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy")) {
      kinds.put("cilium.io/" + kind, "say it as NetworkPolicy");
    }
    for (String kind :
        List.of(
            "CiliumEnvoyConfig",
            "CiliumClusterwideEnvoyConfig",
            "CiliumLocalRedirectPolicy",
            "CiliumEgressGatewayPolicy")) {
      kinds.put("cilium.io/" + kind, "say it as HTTPRoute or Service, or leave it out");
    }
    for (String kind : List.of("MeshTrafficPermission", "TrafficPermission")) {
      kinds.put("kuma.io/" + kind, "say it as AuthorizationPolicy of security.istio.io/v1");
    }
    kinds.put(
        "consul.hashicorp.com/ServiceIntentions",
        "say it as AuthorizationPolicy of security.istio.io/v1");
    for (String kind : List.of("NetworkPolicy", "GlobalNetworkPolicy")) {
      kinds.put("crd.projectcalico.org/" + kind, "say it as networking.k8s.io/v1 NetworkPolicy");
      kinds.put("projectcalico.org/" + kind, "say it as networking.k8s.io/v1 NetworkPolicy");
    }
    return Map.copyOf(kinds);
  }

  /** The resources of a tree, in the order of their files and places. */
  public static List<Resource> read(SourceTree tree, Diagnostics diagnostics) {
    diagnostics.addAll(tree.problems());
    Texts texts = new Texts();
    List<Resource> resources = new ArrayList<>();
    for (SourceFile file : tree.files()) {
      resources.addAll(read(file, diagnostics, texts));
    }
    return unique(resources, diagnostics);
  }

  /** The resources of one file, which may have the names of others. */
  public static List<Resource> read(SourceFile file, Diagnostics diagnostics, Texts texts) {
    ResourceReader reader = new ResourceReader(diagnostics);
    for (Node document : DocumentReader.read(file, diagnostics, texts)) {
      reader.document(document, "", Optional.empty());
    }
    return List.copyOf(reader.resources);
  }

  /** Of several of one kind and name the first; the others are errors. */
  public static List<Resource> unique(List<Resource> resources, Diagnostics diagnostics) {
    Map<String, Meta> seen = new HashMap<>();
    List<Resource> result = new ArrayList<>(resources.size());
    for (Resource resource : resources) {
      Meta earlier = seen.putIfAbsent(resource.id(), resource.meta());
      if (earlier == null) {
        result.add(resource);
      } else {
        diagnostics.error(
            resource.meta().at(),
            "metadata.name",
            resource.id() + " is already at " + earlier.at(),
            "remove or rename one of the two");
      }
    }
    return result;
  }

  /** What a list is and so what its items are, which need not say it again. */
  private record TypedList(String apiVersion, String itemKind) {}

  private void document(Node node, String path, Optional<TypedList> list) {
    if (!(node instanceof Mapping mapping)) {
      diagnostics.error(
          node.at(),
          path,
          "is " + node.describe() + ", but must be an object with apiVersion, kind and metadata",
          "");
      return;
    }
    Fields fields = new Fields(mapping, path, diagnostics);
    boolean untyped = list.isPresent() && !fields.has("kind") && !fields.has("apiVersion");
    String apiVersion = untyped ? list.get().apiVersion() : fields.required("apiVersion").value();
    String kind = untyped ? list.get().itemKind() : fields.required("kind").value();
    if (apiVersion.isEmpty() || kind.isEmpty()) {
      return;
    }
    int slash = apiVersion.indexOf('/');
    String group = slash < 0 ? "" : apiVersion.substring(0, slash);
    String version = apiVersion.substring(slash + 1);
    if (kind.endsWith("List") && fields.has("items")) {
      String itemKind = kind.substring(0, kind.length() - "List".length());
      Optional<TypedList> items =
          itemKind.isEmpty() ? Optional.empty() : Optional.of(new TypedList(apiVersion, itemKind));
      items(fields, path, path.isEmpty(), items);
      return;
    }
    int errors = diagnostics.errors().size();
    Optional<Resource> resource = read(fields, group, version, kind);
    if (diagnostics.purpose() == Purpose.CHECK
        && group.equals("weir.dev")
        && !untyped
        && diagnostics.errors().size() == errors) {
      schemas.of(kind).ifPresent(schema -> schema.check(mapping, diagnostics));
    }
    resource.ifPresent(r -> Annotations.check(fields, r.kind()));
    resource.ifPresent(resources::add);
  }

  private void items(Fields fields, String path, boolean outermost, Optional<TypedList> list) {
    Optional<Node> items = fields.node("items");
    if (!outermost || items.isEmpty() || !(items.get() instanceof Sequence sequence)) {
      fields.error("items", "must be a list of objects, and no list within a list", "");
      return;
    }
    for (int i = 0; i < sequence.items().size(); i++) {
      String at = (path.isEmpty() ? "" : path + ".") + "items[" + i + "]";
      document(sequence.items().get(i), at, list);
    }
  }

  private Optional<Resource> read(Fields fields, String group, String version, String kind) {
    String groupKind = group + "/" + kind;
    return switch (groupKind) {
      case "/Namespace" ->
          version(fields, group, version, "v1")
              ? meta(fields, false).map(Namespace::new)
              : Optional.empty();
      case "/Service" ->
          version(fields, group, version, "v1")
              ? meta(fields, true).flatMap(m -> ServiceReader.read(m, fields))
              : Optional.empty();
      case "/Secret" ->
          version(fields, group, version, "v1")
              ? meta(fields, true).flatMap(m -> SecretReader.read(m, fields))
              : Optional.empty();
      case "/ConfigMap" ->
          ConfigMapReader.certificates(fields).isPresent()
              ? meta(fields, true).flatMap(m -> ConfigMapReader.read(m, fields))
              : Optional.empty();
      case "/Endpoints" ->
          version(fields, group, version, "v1")
              ? meta(fields, true).flatMap(m -> EndpointSliceReader.endpoints(m, fields))
              : Optional.empty();
      case "discovery.k8s.io/EndpointSlice" ->
          version(fields, group, version, "v1")
              ? meta(fields, true).flatMap(m -> EndpointSliceReader.slice(m, fields))
              : Optional.empty();
      case "networking.k8s.io/NetworkPolicy" ->
          version(fields, group, version, "v1")
              ? meta(fields, true).map(m -> new NetworkPolicyReader(fields).read(m))
              : Optional.empty();
      case "gateway.networking.k8s.io/Gateway" ->
          version(fields, group, version, "v1", "v1beta1")
              ? meta(fields, true).map(m -> GatewayReader.read(m, fields))
              : Optional.empty();
      case "gateway.networking.k8s.io/HTTPRoute" ->
          version(fields, group, version, "v1", "v1beta1")
              ? meta(fields, true).map(m -> HttpRouteReader.read(m, fields))
              : Optional.empty();
      case "gateway.networking.k8s.io/GRPCRoute" ->
          version(fields, group, version, "v1", "v1alpha2")
              ? meta(fields, true).map(m -> GrpcRouteReader.read(m, fields))
              : Optional.empty();
      case "gateway.networking.k8s.io/TLSRoute" ->
          version(fields, group, version, "v1", "v1alpha3", "v1alpha2")
              ? meta(fields, true).map(m -> L4RouteReader.read(m, L4Route.Type.TLS, fields))
              : Optional.empty();
      case "gateway.networking.k8s.io/TCPRoute" ->
          version(fields, group, version, "v1", "v1alpha2")
              ? meta(fields, true).map(m -> L4RouteReader.read(m, L4Route.Type.TCP, fields))
              : Optional.empty();
      case "gateway.networking.k8s.io/BackendTLSPolicy" ->
          version(fields, group, version, "v1", "v1alpha3")
              ? meta(fields, true).map(m -> BackendTlsPolicyReader.read(m, fields))
              : Optional.empty();
      case "gateway.networking.k8s.io/ReferenceGrant" ->
          version(fields, group, version, "v1", "v1beta1", "v1alpha2")
              ? meta(fields, true).map(m -> GatewayReader.grant(m, fields))
              : Optional.empty();
      case "security.istio.io/AuthorizationPolicy" ->
          version(fields, group, version, "v1", "v1beta1")
              ? meta(fields, true).map(m -> AuthorizationPolicyReader.read(m, fields))
              : Optional.empty();
      case "security.istio.io/PeerAuthentication" ->
          version(fields, group, version, "v1", "v1beta1")
              ? meta(fields, true).map(m -> PeerAuthenticationReader.read(m, fields))
              : Optional.empty();
      case "security.istio.io/RequestAuthentication" -> {
        PeerAuthenticationReader.requestAuthentication(fields);
        yield Optional.empty();
      }
      case "networking.k8s.io/Ingress" ->
          version(fields, group, version, "v1")
              ? meta(fields, true).map(m -> IngressReader.read(m, fields))
              : Optional.empty();
      case "/Pod", "/ReplicationController" ->
          version(fields, group, version, "v1")
              ? meta(fields, true).flatMap(m -> PodReader.read(m, kind, fields))
              : Optional.empty();
      case "apps/Deployment", "apps/ReplicaSet", "apps/StatefulSet", "apps/DaemonSet" ->
          version(fields, group, version, "v1")
              ? meta(fields, true).flatMap(m -> PodReader.read(m, kind, fields))
              : Optional.empty();
      case "batch/Job", "batch/CronJob" ->
          version(fields, group, version, "v1")
              ? meta(fields, true).flatMap(m -> PodReader.read(m, kind, fields))
              : Optional.empty();
      case "weir.dev/Workload" ->
          version(fields, group, version, "v1alpha1")
              ? meta(fields, true).flatMap(m -> NodeReader.workload(m, fields))
              : Optional.empty();
      case "weir.dev/TrafficPolicy" ->
          version(fields, group, version, "v1alpha1")
              ? meta(fields, true).flatMap(m -> TrafficPolicyReader.read(m, fields))
              : Optional.empty();
      case "weir.dev/Mesh" ->
          version(fields, group, version, "v1alpha1")
              ? meta(fields, true).map(m -> NodeReader.mesh(m, fields))
              : Optional.empty();
      case "weir.dev/PolicyTest" ->
          version(fields, group, version, "v1alpha1")
              ? meta(fields, true).map(m -> PolicyTestReader.read(m, fields))
              : Optional.empty();
      default -> {
        if (NOT_YET.containsKey(groupKind)) {
          fields.error("kind", kind + " is not honoured yet", NOT_YET.getOrDefault(groupKind, ""));
        } else if (GROUPS_THAT_MATTER.contains(group) && !HARMLESS.contains(groupKind)) {
          fields.error(
              "kind", group + " has no kind " + kind + " that Weir knows", "check its spelling");
        } else if (group.equals("extensions")) {
          fields.error(
              "apiVersion",
              "extensions/" + version + " was removed from Kubernetes",
              "use networking.k8s.io/v1");
        }
        yield Optional.empty();
      }
    };
  }

  private static boolean version(Fields fields, String group, String found, String... known) {
    if (List.of(known).contains(found)) {
      return true;
    }
    fields.error(
        "apiVersion",
        "version " + found + " is not known",
        "use " + (group.isEmpty() ? "" : group + "/") + known[0]);
    return false;
  }

  /** Whether a text is an RFC 1123 label, as names of namespaces and of ports of Services are. */
  static boolean isLabel(String text) {
    return isPlainName(text) || text.length() <= 63 && NAMESPACE.matcher(text).matches();
  }

  /** At most 63 letters and digits: it is good wherever names and labels are. */
  static boolean isPlainWord(String text) {
    return isPlain(text, true);
  }

  private static boolean isPlainName(String text) {
    return isPlain(text, false);
  }

  private static boolean isPlain(String text, boolean capitals) {
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (!(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || capitals && c >= 'A' && c <= 'Z')) {
        return false;
      }
    }
    return !text.isEmpty() && text.length() <= 63;
  }

  private Optional<Meta> meta(Fields fields, boolean namespaced) {
    Optional<Fields> found = fields.mapping("metadata");
    if (found.isEmpty()) {
      fields.error("metadata", "is missing", "give the object a name");
      return Optional.empty();
    }
    Fields metadata = found.get();
    metadata.ignore(
        "uid",
        "resourceVersion",
        "generation",
        "managedFields",
        "ownerReferences",
        "finalizers",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
        "clusterName");
    Located<String> name = metadata.required("name");
    String namespace = namespaced ? metadata.text("namespace", "default") : "";
    if (!namespaced) {
      metadata.ignore("namespace");
    }
    Map<String, String> labels = Labels.of(metadata);
    Map<String, String> annotations = metadata.map("annotations");
    String created = metadata.text("creationTimestamp", "");
    metadata.finish();
    if (name.value().isEmpty()) {
      return Optional.empty();
    }
    if (name.value().indexOf('_') >= 0 && Labels.isSubdomain(name.value().replace('_', '-'))) {
      metadata.warning(
          "name", "\"" + name.value() + "\" is a name that an API server refuses: it has '_'", "");
    } else if (!isPlainName(name.value()) && !Labels.isSubdomain(name.value())) {
      metadata.error(
          "name",
          "\"" + name.value() + "\" is not a name",
          "lower-case letters, digits, '-' and '.', at most 253");
      return Optional.empty();
    }
    if (namespaced && !isLabel(namespace)) {
      metadata.error(
          "namespace",
          "\"" + namespace + "\" is not a namespace",
          "lower-case letters, digits and '-', at most 63");
      return Optional.empty();
    }
    return Optional.of(
        new Meta(namespace, name.value(), labels, annotations, created, fields.at()));
  }
}
