// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * What the proxy is to do.
 *
 * @param listeners ports it terminates for {@code Gateway}s
 * @param virtualServices services whose connections lead to the proxy
 * @param clusters where routes lead; {@link WeightedBackend#cluster} is an index
 * @param access what AuthorizationPolicies say of requests
 * @param hbone how connections go from node to node; empty when they go as they are
 */
public record ProxyPlan(
    List<Listener> listeners,
    List<VirtualService> virtualServices,
    List<Cluster> clusters,
    AccessPlan access,
    Optional<Hbone> hbone) {

  /** Nothing to do: no proxy is needed. */
  public static final ProxyPlan NONE = new ProxyPlan(List.of(), List.of(), List.of());

  /** Copies the lists. */
  public ProxyPlan {
    listeners = List.copyOf(listeners);
    virtualServices = List.copyOf(virtualServices);
    clusters = List.copyOf(clusters);
  }

  /** Without tunnels. */
  public ProxyPlan(
      List<Listener> listeners,
      List<VirtualService> virtualServices,
      List<Cluster> clusters,
      AccessPlan access) {
    this(listeners, virtualServices, clusters, access, Optional.empty());
  }

  /** With no AuthorizationPolicy. */
  public ProxyPlan(
      List<Listener> listeners, List<VirtualService> virtualServices, List<Cluster> clusters) {
    this(listeners, virtualServices, clusters, AccessPlan.NONE);
  }

  /** The same with other AuthorizationPolicies. */
  public ProxyPlan with(AccessPlan other) {
    return new ProxyPlan(listeners, virtualServices, clusters, other, hbone);
  }

  /** Whether a proxy has to run. */
  public boolean needed() {
    return hbone.isPresent()
        || !listeners.isEmpty()
        || virtualServices.stream().anyMatch(service -> !service.addresses().isEmpty());
  }

  /** What a listener speaks with its clients, and so which kinds of route lead on from it. */
  public enum ListenerProtocol {
    /** Requests in plain text: {@link Route}. */
    HTTP,
    /** Requests within TLS that ends here: {@link Route}. */
    HTTPS,
    /** TLS that ends at the backend, chosen by server name: {@link L4Route}. */
    TLS_PASSTHROUGH,
    /** TLS that ends here, chosen by server name; its content is not looked at: {@link L4Route}. */
    TLS_TERMINATE,
    /** Bytes: {@link L4Route}. */
    TCP;

    /** Whether it looks at requests, else only at connections. */
    public boolean requests() {
      return this == HTTP || this == HTTPS;
    }
  }

  /**
   * One listener of a Gateway.
   *
   * @param gateway {@code namespace/name}
   * @param name of the listener
   * @param address to bind, empty for all
   * @param port to bind
   * @param hostname it serves, may begin with {@code *.}; empty for all
   * @param protocol spoken with clients
   * @param tls certificates when it terminates TLS; else empty
   * @param routes of requests, in order of precedence
   * @param l4Routes of connections, in order of precedence
   */
  public record Listener(
      String gateway,
      String name,
      Optional<Address> address,
      int port,
      String hostname,
      ListenerProtocol protocol,
      Optional<Tls> tls,
      List<Route> routes,
      List<L4Route> l4Routes) {
    /** Copies the lists. */
    public Listener {
      routes = List.copyOf(routes);
      l4Routes = List.copyOf(l4Routes);
    }

    /** One for requests: HTTPS with certificates, HTTP without. */
    public Listener(
        String gateway,
        String name,
        Optional<Address> address,
        int port,
        String hostname,
        Optional<Tls> tls,
        List<Route> routes) {
      this(
          gateway,
          name,
          address,
          port,
          hostname,
          tls.isPresent() ? ListenerProtocol.HTTPS : ListenerProtocol.HTTP,
          tls,
          routes,
          List.of());
    }
  }

  /**
   * TLS of a listener.
   *
   * @param certificates names of key pairs that travel beside the plan ({@link TlsKeyPair#name})
   * @param clients which certificates clients must show; empty when none is asked for
   */
  public record Tls(List<String> certificates, Optional<ClientTrust> clients) {
    /** Copies the list. */
    public Tls {
      certificates = List.copyOf(certificates);
    }

    /** One that asks clients for nothing. */
    public Tls(List<String> certificates) {
      this(certificates, Optional.empty());
    }
  }

  /**
   * Whose certificates clients of a listener must show.
   *
   * @param authorities certificates that end a path, in PEM; without any nobody is let in who must
   *     show one
   * @param required whether who shows none, or one that is not good enough, is refused; else such a
   *     client is let in as one that showed none
   */
  public record ClientTrust(List<String> authorities, boolean required) {
    /** Copies the list. */
    public ClientTrust {
      authorities = List.copyOf(authorities);
    }
  }

  /**
   * One port of a service that leads to the proxy. It has routes of requests or routes of
   * connections, never both.
   *
   * @param workload index of the {@code Service} workload
   * @param addresses virtual addresses; empty when nobody gave it one, so that it can be asked
   *     about but not dialled
   * @param port virtual port
   * @param routes of requests of every client, in order of precedence; a request that matches none
   *     is answered 404
   * @param l4Routes of connections of every client, in order of precedence
   * @param consumers what clients of some namespaces get instead, by namespace
   */
  public record VirtualService(
      int workload,
      List<Address> addresses,
      int port,
      List<Route> routes,
      List<L4Route> l4Routes,
      List<ConsumerRoutes> consumers) {
    /** Copies the lists. */
    public VirtualService {
      addresses = List.copyOf(addresses);
      routes = List.copyOf(routes);
      l4Routes = List.copyOf(l4Routes);
      consumers = List.copyOf(consumers);
    }

    /** One address with the same routes of requests for everybody. */
    public VirtualService(int workload, Address address, int port, List<Route> routes) {
      this(workload, List.of(address), port, routes, List.of(), List.of());
    }

    /**
     * The routes of requests of a client.
     *
     * @param namespace of the client; empty for one without
     */
    public List<Route> routesFor(String namespace) {
      return consumers.stream()
          .filter(c -> c.namespace().equals(namespace))
          .findFirst()
          .map(ConsumerRoutes::routes)
          .orElse(routes);
    }

    /**
     * The routes of connections of a client.
     *
     * @param namespace of the client; empty for one without
     */
    public List<L4Route> l4RoutesFor(String namespace) {
      return consumers.stream()
          .filter(c -> c.namespace().equals(namespace))
          .findFirst()
          .map(ConsumerRoutes::l4Routes)
          .orElse(l4Routes);
    }

    /** The routes of requests of whatever client, some more than once. */
    public Stream<Route> everyRoute() {
      return Stream.concat(routes.stream(), consumers.stream().flatMap(c -> c.routes().stream()));
    }

    /** The routes of connections of whatever client, some more than once. */
    public Stream<L4Route> everyL4Route() {
      return Stream.concat(
          l4Routes.stream(), consumers.stream().flatMap(c -> c.l4Routes().stream()));
    }
  }

  /**
   * What clients of one namespace get at a service of another one (Gateway API, consumer routes),
   * instead of what the service's own namespace says.
   *
   * @param namespace of the clients and of the routes
   * @param routes of requests, in order of precedence
   * @param l4Routes of connections, in order of precedence
   */
  public record ConsumerRoutes(String namespace, List<Route> routes, List<L4Route> l4Routes) {
    /** Copies the lists. */
    public ConsumerRoutes {
      routes = List.copyOf(routes);
      l4Routes = List.copyOf(l4Routes);
    }
  }

  /** What the requests of a route are. */
  public enum RouteKind {
    /** HTTPRoute. */
    HTTP,
    /** GRPCRoute: whatever is answered without a backend is a gRPC status in trailers. */
    GRPC
  }

  /**
   * An HTTPRoute or GRPCRoute as attached to one parent.
   *
   * @param kind of its requests
   * @param name {@code namespace/name}
   * @param rule index of the plan's rule that stands for the route
   * @param hostnames it serves, already cut with the listener's; empty for all
   * @param rules in file order
   */
  public record Route(
      RouteKind kind, String name, int rule, List<String> hostnames, List<RouteRule> rules) {
    /** Copies the lists. */
    public Route {
      hostnames = List.copyOf(hostnames);
      rules = List.copyOf(rules);
    }

    /** An HTTPRoute. */
    public Route(String name, int rule, List<String> hostnames, List<RouteRule> rules) {
      this(RouteKind.HTTP, name, rule, hostnames, rules);
    }
  }

  /**
   * A TLSRoute or TCPRoute as attached to one parent.
   *
   * @param name {@code namespace/name}
   * @param rule index of the plan's rule that stands for the route
   * @param hostnames server names (SNI) it serves, already cut with the listener's; empty for all,
   *     also for connections that name none
   * @param backends with weights; none means that connections are refused
   */
  public record L4Route(
      String name, int rule, List<String> hostnames, List<WeightedBackend> backends) {
    /** Copies the lists. */
    public L4Route {
      hostnames = List.copyOf(hostnames);
      backends = List.copyOf(backends);
    }
  }

  /**
   * One rule of a route.
   *
   * @param name as the route gives it; empty when it gives none
   * @param matches any of them; never empty (the default is path prefix /)
   * @param filters on the request before and the response after
   * @param backends with weights; none and no answering filter means 500
   * @param requestTimeoutMillis whole request, 0 for none
   * @param backendTimeoutMillis one try, 0 for none
   * @param retry when a try that failed is repeated
   * @param session which requests stay with one backend
   */
  public record RouteRule(
      String name,
      List<Match> matches,
      List<Filter> filters,
      List<WeightedBackend> backends,
      long requestTimeoutMillis,
      long backendTimeoutMillis,
      Optional<Retry> retry,
      Optional<SessionPersistence> session) {
    /** Copies the lists. */
    public RouteRule {
      matches = List.copyOf(matches);
      filters = List.copyOf(filters);
      backends = List.copyOf(backends);
    }

    /** One without name, retries and persistence. */
    public RouteRule(
        List<Match> matches,
        List<Filter> filters,
        List<WeightedBackend> backends,
        long requestTimeoutMillis,
        long backendTimeoutMillis) {
      this(
          "",
          matches,
          filters,
          backends,
          requestTimeoutMillis,
          backendTimeoutMillis,
          Optional.empty(),
          Optional.empty());
    }
  }

  /**
   * Repeated tries (Gateway API HTTPRouteRetry). A connection that could not be made, and a try
   * that a timeout ended, are repeated as well.
   *
   * @param codes statuses of the backend that are tried again
   * @param attempts further tries, at most
   * @param backoffMillis least time between two of them
   */
  public record Retry(List<Integer> codes, int attempts, long backoffMillis) {
    /** Copies the list. */
    public Retry {
      codes = List.copyOf(codes);
    }
  }

  /**
   * Requests of one session go to one backend (Gateway API SessionPersistence).
   *
   * @param type where the session is written
   * @param name of the cookie or header; empty for the proxy's own
   * @param absoluteTimeoutMillis after which a session ends, 0 for never
   * @param idleTimeoutMillis without requests, after which a session ends, 0 for never
   * @param permanent the cookie outlives the browser, until the absolute timeout
   */
  public record SessionPersistence(
      Type type,
      String name,
      long absoluteTimeoutMillis,
      long idleTimeoutMillis,
      boolean permanent) {
    /** Where a session is written. */
    public enum Type {
      /** A cookie that the proxy sets. */
      COOKIE,
      /** A header that the proxy sets in answers and the client repeats. */
      HEADER
    }
  }

  /**
   * All of it must hold (Gateway API HTTPRouteMatch).
   *
   * @param path of the request target, without query
   * @param headers each must hold; names in lower case
   * @param query each must hold
   * @param method exact, empty for any
   */
  public record Match(
      PathMatch path, List<ValueMatch> headers, List<ValueMatch> query, Optional<String> method) {
    /** Copies the lists. */
    public Match {
      headers = List.copyOf(headers);
      query = List.copyOf(query);
    }
  }

  /** How a path is compared. */
  public sealed interface PathMatch {
    /** The whole path, case-sensitive. */
    record Exact(String path) implements PathMatch {}

    /** By elements: /abc matches /abc and /abc/d, not /abcd. */
    record Prefix(String path) implements PathMatch {}

    /** The whole path against a regular expression of {@code policy.route.RegularExpression}. */
    record Regex(String pattern) implements PathMatch {}

    /**
     * The path {@code /service/method} of a gRPC call.
     *
     * @param service empty for any
     * @param method empty for any; not both are empty
     * @param regex whether both are regular expressions, each for its whole part
     */
    record Grpc(String service, String method, boolean regex) implements PathMatch {}
  }

  /**
   * A header or query parameter.
   *
   * @param name lower case for headers, exact for query
   * @param value to compare with
   * @param regex whether value is a pattern for the whole value
   */
  public record ValueMatch(String name, String value, boolean regex) {}

  /** What happens to a request or response on its way. */
  public sealed interface Filter {
    /** Changes the request's headers. */
    record RequestHeaders(HeaderEdit edit) implements Filter {}

    /** Changes the response's headers. */
    record ResponseHeaders(HeaderEdit edit) implements Filter {}

    /** Answers with a redirect; empty parts stay as the request has them. */
    record Redirect(
        Optional<String> scheme,
        Optional<String> hostname,
        Optional<PathEdit> path,
        Optional<Integer> port,
        int status)
        implements Filter {}

    /** Rewrites the request target. */
    record Rewrite(Optional<String> hostname, Optional<PathEdit> path) implements Filter {}

    /**
     * Sends a copy of some requests to another cluster and ignores what it answers.
     *
     * @param cluster index into {@link ProxyPlan#clusters}; -1 when the reference is invalid, and
     *     nothing is mirrored
     * @param numerator of the share of requests, 0 to denominator
     * @param denominator at least 1
     */
    record Mirror(int cluster, int numerator, int denominator) implements Filter {}

    /**
     * Answers preflight requests and lets browsers read answers (WHATWG Fetch, CORS protocol).
     *
     * @param allowOrigins {@code scheme://host[:port]}, the host perhaps with {@code *} before it;
     *     or {@code *} for every one
     * @param allowCredentials whether cookies and the like may be sent
     * @param allowMethods or {@code *}
     * @param allowHeaders or {@code *}
     * @param exposeHeaders or {@code *}
     * @param maxAgeSeconds how long a preflight holds
     */
    record Cors(
        List<String> allowOrigins,
        boolean allowCredentials,
        List<String> allowMethods,
        List<String> allowHeaders,
        List<String> exposeHeaders,
        int maxAgeSeconds)
        implements Filter {
      /** Copies the lists. */
      public Cors {
        allowOrigins = List.copyOf(allowOrigins);
        allowMethods = List.copyOf(allowMethods);
        allowHeaders = List.copyOf(allowHeaders);
        exposeHeaders = List.copyOf(exposeHeaders);
      }
    }
  }

  /** A new path. */
  public sealed interface PathEdit {
    /** The whole path. */
    record Full(String path) implements PathEdit {}

    /** Instead of the prefix that matched. */
    record Prefix(String path) implements PathEdit {}
  }

  /**
   * Set, then add, then remove.
   *
   * @param set name to value
   * @param add name to value
   * @param remove names
   */
  public record HeaderEdit(List<Header> set, List<Header> add, List<String> remove) {
    /** Copies the lists. */
    public HeaderEdit {
      set = List.copyOf(set);
      add = List.copyOf(add);
      remove = List.copyOf(remove);
    }
  }

  /** A header with its value. */
  public record Header(String name, String value) {}

  /**
   * A share of a rule's requests.
   *
   * @param cluster index into {@link ProxyPlan#clusters}; -1 when the reference is invalid, and its
   *     share is answered 500
   * @param weight 0 for no traffic
   * @param filters of this backend only
   */
  public record WeightedBackend(int cluster, int weight, List<Filter> filters) {
    /** Copies the list. */
    public WeightedBackend {
      filters = List.copyOf(filters);
    }
  }

  /**
   * One port of a service as a destination.
   *
   * @param workload index of the {@code Service} workload, for metrics
   * @param port of the service
   * @param name {@code namespace/service:port}
   * @param endpoints indexes into {@link Plan#backends}: what can be dialled from here; empty means
   *     503
   * @param workloads indexes of the workloads behind it, also of those that nothing here says where
   *     to dial; ascending
   * @param appProtocol as the service's port says, empty when it says nothing
   * @param tls how the backend is dialled; empty for plain text
   * @param near those of the endpoints that are on this node
   */
  public record Cluster(
      int workload,
      int port,
      String name,
      List<Integer> endpoints,
      List<Integer> workloads,
      String appProtocol,
      Optional<BackendTls> tls,
      List<Integer> near) {
    /** Copies the lists. */
    public Cluster {
      endpoints = List.copyOf(endpoints);
      workloads = List.copyOf(workloads);
      near = List.copyOf(near);
    }

    /** One of which nothing is known to be near. */
    public Cluster(
        int workload,
        int port,
        String name,
        List<Integer> endpoints,
        List<Integer> workloads,
        String appProtocol,
        Optional<BackendTls> tls) {
      this(workload, port, name, endpoints, workloads, appProtocol, tls, List.of());
    }
  }

  /**
   * TLS towards a backend (Gateway API BackendTLSPolicy). When it trusts neither the system's
   * authorities nor any given one, no certificate is good enough and every connection fails.
   *
   * @param hostname server name (SNI), and without alternative names the name its certificate must
   *     have
   * @param subjectAltNames one of which its certificate must have instead
   * @param systemTrust whether the system's authorities are trusted
   * @param authorities certificates of trusted authorities, PEM
   */
  public record BackendTls(
      String hostname,
      List<SubjectAltName> subjectAltNames,
      boolean systemTrust,
      List<String> authorities) {
    /** Copies the lists. */
    public BackendTls {
      subjectAltNames = List.copyOf(subjectAltNames);
      authorities = List.copyOf(authorities);
    }

    /** Whether any certificate can be good enough. */
    public boolean trusts() {
      return systemTrust || !authorities.isEmpty();
    }
  }

  /**
   * A name of a certificate (RFC 5280 4.2.1.6).
   *
   * @param uri whether it is a URI, else a DNS name
   * @param value compared as a whole
   */
  public record SubjectAltName(boolean uri, String value) {}
}
