// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.model;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import dev.weir.policy.source.SourceTree;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What an API server refuses of single fields, by the validation of Kubernetes (pkg/apis,
 * validation.go) and the schemas of the Gateway API and Istio, is refused here too, with its place;
 * what it takes is taken.
 *
 * <p>A row is {@code KIND | BODY | ANSWER}. In the body, § stands before what the answer is about,
 * and {@code 3*(a#)} for {@code a0, a1, a2}. The answer is {@code accepted}, or {@code field:
 * message}, with {@code warning} before it where nobody can misunderstand what is written.
 */
class ApiValidationTest {

  private static final Map<String, String> VERSIONS =
      Map.of(
          "NetworkPolicy", "networking.k8s.io/v1",
          "Service", "v1",
          "Pod", "v1",
          "Deployment", "apps/v1",
          "EndpointSlice", "discovery.k8s.io/v1",
          "AuthorizationPolicy", "security.istio.io/v1");

  private static final String ROWS =
      """
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: {cidr: §10.0.0.0/33}}]}]} | spec.ingress[0].from[0].ipBlock.cidr: "10.0.0.0/33" is no address block
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: {cidr: §10.0.0.0}}]}]} | spec.ingress[0].from[0].ipBlock.cidr: "10.0.0.0" is no address block
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: {cidr: §10.0.0/8}}]}]} | spec.ingress[0].from[0].ipBlock.cidr: "10.0.0/8" is no address block
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: {cidr: §10.0.0.0/-1}}]}]} | spec.ingress[0].from[0].ipBlock.cidr: "10.0.0.0/-1" is no address block
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: {cidr: §'fd00::/129'}}]}]} | spec.ingress[0].from[0].ipBlock.cidr: "fd00::/129" is no address block
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: {cidr: §'fe80::1%eth0/64'}}]}]} | spec.ingress[0].from[0].ipBlock.cidr: "fe80::1%eth0/64" is no address block
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: §{}}]}]} | spec.ingress[0].from[0].ipBlock.cidr: is missing
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/8}}, {ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: 'fd00::/8'}}, {ipBlock: {cidr: 10.0.0.1/32}}]}]} | accepted
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.0.0.1/32]}}]}]} | accepted
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: §[11.0.0.0/16]}}]}]} | spec.ingress[0].from[0].ipBlock.except: 11.0.0.0/16 does not lie strictly within 10.0.0.0/8
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: §[10.0.0.0/8]}}]}]} | spec.ingress[0].from[0].ipBlock.except: 10.0.0.0/8 does not lie strictly within 10.0.0.0/8
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: {cidr: 10.1.0.0/16, except: §[10.0.0.0/8]}}]}]} | spec.ingress[0].from[0].ipBlock.except: 10.0.0.0/8 does not lie strictly within 10.1.0.0/16
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: §['fd00::/16']}}]}]} | spec.ingress[0].from[0].ipBlock.except: fd00::/16 does not lie strictly within 10.0.0.0/8
      NetworkPolicy | spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: §[10.0.0.1]}}]}]} | spec.ingress[0].from[0].ipBlock.except: "10.0.0.1" is no address block
      NetworkPolicy | spec: {ingress: [{from: [§{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]} | spec.ingress[0].from[0]: has ipBlock beside a selector
      NetworkPolicy | spec: {egress: [{to: [§{ipBlock: {cidr: 10.0.0.0/8}, namespaceSelector: {}}]}]} | spec.egress[0].to[0]: has ipBlock beside a selector
      NetworkPolicy | spec: {ingress: [{from: [§{}]}]} | spec.ingress[0].from[0]: has neither podSelector, namespaceSelector nor ipBlock
      NetworkPolicy | spec: {ingress: [{ports: [{port: §0}]}]} | spec.ingress[0].ports[0].port: is 0, but must be from 1 to 65535
      NetworkPolicy | spec: {ingress: [{ports: [{port: §65536}]}]} | spec.ingress[0].ports[0].port: is 65536, but must be from 1 to 65535
      NetworkPolicy | spec: {ingress: [{ports: [{port: §-1}]}]} | spec.ingress[0].ports[0].port: is -1, but must be from 1 to 65535
      NetworkPolicy | spec: {ingress: [{ports: [{port: §'80'}]}]} | spec.ingress[0].ports[0].port: "80" is not a port name
      NetworkPolicy | spec: {ingress: [{ports: [{port: §80.5}]}]} | spec.ingress[0].ports[0].port: is
      NetworkPolicy | spec: {ingress: [{ports: [{port: §Http}]}]} | spec.ingress[0].ports[0].port: "Http" is not a port name
      NetworkPolicy | spec: {ingress: [{ports: [{port: §-http}]}]} | spec.ingress[0].ports[0].port: "-http" is not a port name
      NetworkPolicy | spec: {ingress: [{ports: [{port: §http-}]}]} | spec.ingress[0].ports[0].port: "http-" is not a port name
      NetworkPolicy | spec: {ingress: [{ports: [{port: §a--b}]}]} | spec.ingress[0].ports[0].port: "a--b" is not a port name
      NetworkPolicy | spec: {ingress: [{ports: [{port: §a_b}]}]} | spec.ingress[0].ports[0].port: "a_b" is not a port name
      NetworkPolicy | spec: {ingress: [{ports: [{port: §'8-0'}]}]} | spec.ingress[0].ports[0].port: "8-0" is not a port name
      NetworkPolicy | spec: {ingress: [{ports: [{port: §abcdefghijklmnop}]}]} | spec.ingress[0].ports[0].port: "abcdefghijklmnop" is not a port name
      NetworkPolicy | spec: {ingress: [{ports: [{port: abcdefghijklmno}, {port: '8a'}, {port: 1}, {port: 65535}, {}, {protocol: UDP}]}]} | accepted
      NetworkPolicy | spec: {ingress: [{ports: [{port: 80, protocol: §tcp}]}]} | spec.ingress[0].ports[0].protocol: is "tcp" (one of: SCTP, TCP, UDP)
      NetworkPolicy | spec: {ingress: [{ports: [{protocol: §ICMP}]}]} | spec.ingress[0].ports[0].protocol: is "ICMP" (one of: SCTP, TCP, UDP)
      NetworkPolicy | spec: {ingress: [{ports: [{protocol: §''}]}]} | spec.ingress[0].ports[0].protocol: is "" (one of: SCTP, TCP, UDP)
      NetworkPolicy | spec: {ingress: [{ports: [{port: 80, endPort: §79}]}]} | spec.ingress[0].ports[0].endPort: is smaller than port
      NetworkPolicy | spec: {ingress: [{ports: [{port: http, endPort: §80}]}]} | spec.ingress[0].ports[0].endPort: needs a port that is a number
      NetworkPolicy | spec: {ingress: [{ports: [{endPort: §80}]}]} | spec.ingress[0].ports[0].endPort: needs a port that is a number
      NetworkPolicy | spec: {ingress: [{ports: [{port: 80, endPort: §65536}]}]} | spec.ingress[0].ports[0].endPort: is 65536, but must be from 1 to 65535
      NetworkPolicy | spec: {ingress: [{ports: [{port: 80, endPort: §0}]}]} | spec.ingress[0].ports[0].endPort: is 0, but must be from 1 to 65535
      NetworkPolicy | spec: {egress: [{ports: [{port: 80, endPort: 80}, {port: 1, endPort: 65535, protocol: SCTP}]}]} | accepted
      NetworkPolicy | spec: {policyTypes: §[ingress]} | spec.policyTypes: "ingress" is no policy type
      NetworkPolicy | spec: {policyTypes: §[Both]} | spec.policyTypes: "Both" is no policy type
      NetworkPolicy | spec: {policyTypes: §[Ingress, Egress, Ingress]} | warning spec.policyTypes: an API server refuses more than two
      NetworkPolicy | spec: {podSelector: {}, policyTypes: [Egress, Ingress]} | accepted
      NetworkPolicy | spec: {podSelector: §{matchLabels: {-a: b}}} | spec.podSelector: "-a" is no label key
      NetworkPolicy | spec: {podSelector: §{matchLabels: {a/b/c: b}}} | spec.podSelector: "a/b/c" is no label key
      NetworkPolicy | spec: {podSelector: §{matchLabels: {/b: b}}} | spec.podSelector: "/b" is no label key
      NetworkPolicy | spec: {podSelector: §{matchLabels: {a..b/c: b}}} | spec.podSelector: "a..b/c" is no label key
      NetworkPolicy | spec: {podSelector: §{matchLabels: {A.b/c: b}}} | spec.podSelector: "A.b/c" is no label key
      NetworkPolicy | spec: {podSelector: §{matchLabels: {X64: b}}} | is no label key
      NetworkPolicy | spec: {podSelector: §{matchLabels: {X254/a: b}}} | is no label key
      NetworkPolicy | spec: {podSelector: {matchLabels: {X63: X63, X253/X63: '', a.b-c/D_e.f: A.b_C-9}}} | accepted
      NetworkPolicy | spec: {podSelector: {matchLabels: §{a: -b}}} | spec.podSelector.matchLabels: "-b" is no label value
      NetworkPolicy | spec: {podSelector: {matchLabels: §{a: b.}}} | spec.podSelector.matchLabels: "b." is no label value
      NetworkPolicy | spec: {podSelector: {matchLabels: §{a: 'b c'}}} | spec.podSelector.matchLabels: "b c" is no label value
      NetworkPolicy | spec: {podSelector: {matchLabels: §{a: X64}}} | is no label value
      NetworkPolicy | spec: {podSelector: {matchLabels: {a: §1}}} | spec.podSelector.matchLabels.a: is the number 1, but must be a string
      NetworkPolicy | spec: {podSelector: {matchExpressions: [§{operator: Exists}]}} | spec.podSelector.matchExpressions[0].key: is missing
      NetworkPolicy | spec: {podSelector: {matchExpressions: [§{key: a}]}} | spec.podSelector.matchExpressions[0].operator: is missing
      NetworkPolicy | spec: {podSelector: {matchExpressions: [§{key: a/, operator: Exists}]}} | spec.podSelector.matchExpressions[0]: "a/" is no label key
      NetworkPolicy | spec: {podSelector: {matchExpressions: [{key: a, operator: §in, values: [b]}]}} | spec.podSelector.matchExpressions[0].operator: is "in"
      NetworkPolicy | spec: {podSelector: {matchExpressions: [{key: a, operator: §Gt, values: ['1']}]}} | spec.podSelector.matchExpressions[0].operator: is "Gt"
      NetworkPolicy | spec: {podSelector: {matchExpressions: [§{key: a, operator: In}]}} | spec.podSelector.matchExpressions[0].values: is missing or empty
      NetworkPolicy | spec: {podSelector: {matchExpressions: [{key: a, operator: NotIn, values: §[]}]}} | spec.podSelector.matchExpressions[0].values: is missing or empty
      NetworkPolicy | spec: {podSelector: {matchExpressions: [{key: a, operator: Exists, values: §[b]}]}} | spec.podSelector.matchExpressions[0].values: must be empty for Exists and DoesNotExist
      NetworkPolicy | spec: {podSelector: {matchExpressions: [{key: a, operator: DoesNotExist, values: §[b]}]}} | spec.podSelector.matchExpressions[0].values: must be empty for Exists and DoesNotExist
      NetworkPolicy | spec: {podSelector: {matchExpressions: [{key: a, operator: In, values: §['b c']}]}} | spec.podSelector.matchExpressions[0].values: "b c" is no label value
      NetworkPolicy | spec: {podSelector: {matchExpressions: [{key: a, operator: In, values: ['', b]}, {key: b, operator: NotIn, values: [c]}, {key: c, operator: Exists, values: []}, {key: d, operator: DoesNotExist}]}} | accepted
      Pod | metadata: {name: x, labels: §{a b: c}}, spec: {} | warning metadata.labels: "a b" is a label key that an API server refuses
      Pod | metadata: {name: x, labels: §{a: 'b c'}}, spec: {} | warning metadata.labels: "b c" is a label value that an API server refuses
      Pod | metadata: {name: §X}, spec: {} | metadata.name: "X" is not a name
      Pod | metadata: {name: §a..b}, spec: {} | metadata.name: "a..b" is not a name
      Pod | metadata: {name: x, namespace: §a.b}, spec: {} | metadata.namespace: "a.b" is not a namespace
      Pod | metadata: {name: x, namespace: §X64}, spec: {} | is not a namespace
      Pod | metadata: {name: a.b-1, namespace: a-1}, spec: {} | accepted
      Pod | spec: {containers: [{ports: [§{name: http}]}]} | spec.containers[0].ports[0].containerPort: is missing
      Pod | spec: {containers: [{ports: [{containerPort: §0}]}]} | spec.containers[0].ports[0].containerPort: is 0, but must be from 1 to 65535
      Pod | spec: {containers: [{ports: [{containerPort: §65536}]}]} | spec.containers[0].ports[0].containerPort: is 65536, but must be from 1 to 65535
      Pod | spec: {containers: [{ports: [{containerPort: §'80'}]}]} | spec.containers[0].ports[0].containerPort: is the string "80", but must be a number
      Pod | spec: {containers: [{ports: [{containerPort: 80, name: §HTTP}]}]} | spec.containers[0].ports[0].name: "HTTP" is not a port name
      Pod | spec: {containers: [{ports: [{containerPort: 80, name: §abcdefghijklmnop}]}]} | spec.containers[0].ports[0].name: "abcdefghijklmnop" is not a port name
      Pod | spec: {containers: [{ports: [{containerPort: 80, name: §'80'}]}]} | spec.containers[0].ports[0].name: "80" is not a port name
      Pod | spec: {containers: [{ports: [{containerPort: 80, protocol: §Udp}]}]} | spec.containers[0].ports[0].protocol: is "Udp"
      Pod | spec: {containers: [{ports: [{containerPort: 80, name: a}, {containerPort: 81, name: §a}]}]} | spec.containers[0].ports[1].name: "a" occurs twice in the container
      Pod | spec: {containers: [{ports: [{containerPort: 80, name: a}]}, {ports: [{containerPort: 81, name: a}]}]} | accepted
      Pod | spec: {containers: [{ports: [{containerPort: 53}, {containerPort: 53, protocol: UDP}, {containerPort: 9, protocol: SCTP, name: abcdefghijklmno}]}]} | accepted
      Deployment | spec: {template: {spec: {containers: [{ports: [{containerPort: §70000}]}]}}} | spec.template.spec.containers[0].ports[0].containerPort: is 70000
      Service | spec: §{clusterIP: 10.0.0.1} | spec.ports: is missing or empty
      Service | spec: {clusterIP: None} | accepted
      Service | spec: {ports: [§{name: http}]} | spec.ports[0].port: is missing
      Service | spec: {ports: [{port: §0}]} | spec.ports[0].port: is 0, but must be from 1 to 65535
      Service | spec: {ports: [{port: §65536}]} | spec.ports[0].port: is 65536, but must be from 1 to 65535
      Service | spec: {ports: [{port: §http}]} | spec.ports[0].port: is the string "http", but must be a number
      Service | spec: {ports: [{port: 80, protocol: §tcp}]} | spec.ports[0].protocol: is "tcp"
      Service | spec: {ports: [{port: 80, name: §HTTP}]} | spec.ports[0].name: "HTTP" is not a port name
      Service | spec: {ports: [{port: 80, name: §a.b}]} | spec.ports[0].name: "a.b" is not a port name
      Service | spec: {ports: [{port: 80, name: §X64}]} | is not a port name
      Service | spec: {ports: [{port: 80, name: X63}]} | accepted
      Service | spec: {ports: [{port: 80, name: a}, {port: 81, name: §a}]} | spec.ports[1].name: "a" occurs twice
      Service | spec: {ports: [§{port: 80}, {port: 81, name: a}]} | warning spec.ports[0].name: is missing
      Service | spec: {ports: [{port: 80, name: a}, {port: §80, name: b}]} | spec.ports[1].port: TCP 80 occurs twice
      Service | spec: {ports: [{port: 53, name: a}, {port: 53, name: b, protocol: UDP}]} | accepted
      Service | spec: {ports: [{port: 80, targetPort: §0}]} | spec.ports[0].targetPort: is 0, but must be from 1 to 65535
      Service | spec: {ports: [{port: 80, targetPort: §65536}]} | spec.ports[0].targetPort: is 65536
      Service | spec: {ports: [{port: 80, targetPort: §'8080'}]} | spec.ports[0].targetPort: "8080" is not a port name
      Service | spec: {ports: [{port: 80, targetPort: §abcdefghijklmnop}]} | spec.ports[0].targetPort: "abcdefghijklmnop" is not a port name
      Service | spec: {ports: [{port: 80, targetPort: http}]} | accepted
      Service | spec: {ports: [{port: 80, appProtocol: §'http 2'}]} | spec.ports[0].appProtocol: "http 2" is no protocol name
      Service | spec: {ports: [{port: 80, appProtocol: kubernetes.io/h2c}]} | accepted
      Service | spec: {type: §clusterip, ports: [{port: 80}]} | spec.type: is "clusterip"
      Service | spec: §{type: ExternalName} | spec.externalName: is missing
      Service | spec: {type: ExternalName, externalName: §'a b'} | spec.externalName: "a b" is no host name
      Service | spec: {type: ExternalName, externalName: db.example.com.} | accepted
      Service | spec: {type: ExternalName, externalName: a.b, clusterIP: §10.0.0.1} | spec.clusterIP: does not go with type ExternalName
      Service | spec: {type: §LoadBalancer, clusterIP: None, ports: [{port: 80}]} | warning spec.type: is LoadBalancer, which cannot be headless
      Service | spec: {clusterIP: §10.0.0, ports: [{port: 80}]} | "10.0.0" is not an address a service can have
      Service | spec: {clusterIP: §127.0.0.1, ports: [{port: 80}]} | "127.0.0.1" is not an address a service can have
      Service | spec: {clusterIPs: §[10.0.0.1, 10.0.0.2], ports: [{port: 80}]} | spec.clusterIPs: has two addresses of one family
      Service | spec: {clusterIPs: §[10.0.0.1, 'fd00::1', 10.0.0.2], ports: [{port: 80}]} | spec.clusterIPs: has more than two addresses
      Service | spec: {clusterIPs: [§None, 10.0.0.2], ports: [{port: 80}]} | spec.clusterIPs[0]: "None" is not an address a service can have
      Service | spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, 'fd00::1'], ports: [{port: 80}]} | accepted
      Service | spec: {clusterIP: §10.0.0.2, clusterIPs: [10.0.0.1], ports: [{port: 80}]} | spec.clusterIP: is not the first of clusterIPs
      Service | spec: {sessionAffinity: §clientip, ports: [{port: 80}]} | spec.sessionAffinity: is "clientip"
      Service | spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: §0}}, ports: [{port: 80}]} | spec.sessionAffinityConfig.clientIP.timeoutSeconds
      Service | spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: §86401}}, ports: [{port: 80}]} | spec.sessionAffinityConfig.clientIP.timeoutSeconds
      Service | spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 86400}}, ports: [{port: 80}]} | accepted
      Service | spec: {sessionAffinityConfig: §{clientIP: {timeoutSeconds: 60}}, ports: [{port: 80}]} | spec.sessionAffinityConfig: goes only with sessionAffinity: ClientIP
      Service | spec: {selector: §{a: 'b c'}, ports: [{port: 80}]} | spec.selector: "b c" is no label value
      Service | spec: {selector: {a: §true}, ports: [{port: 80}]} | spec.selector.a: is true, but must be a string
      HTTPRoute | spec: {rules: §[17*({name: r#})]} | warning spec.rules: has 17 items
      HTTPRoute | spec: {rules: [16*({name: r#})]} | accepted
      HTTPRoute | spec: {rules: [{matches: §[65*({path: {value: /#}})]}]} | warning spec.rules[0].matches: has 65 items
      HTTPRoute | spec: {rules: §[{matches: [64*({path: {value: /a#}})]}, {matches: [64*({path: {value: /b#}})]}, {matches: [{method: GET}]}]} | warning spec.rules: has 129 matches
      HTTPRoute | spec: {rules: [{matches: [64*({path: {value: /a#}})]}, {matches: [64*({path: {value: /b#}})]}]} | accepted
      HTTPRoute | spec: {rules: [{filters: §[17*({type: RequestMirror, requestMirror: {backendRef: {name: a#, port: 1}}})]}]} | warning spec.rules[0].filters: has 17 items
      HTTPRoute | spec: {rules: [{backendRefs: §[17*({name: a#, port: 1})]}]} | warning spec.rules[0].backendRefs: has 17 items
      HTTPRoute | spec: {parentRefs: §[33*({name: a#})]} | warning spec.parentRefs: has 33 items
      HTTPRoute | spec: {hostnames: §[17*(a#)]} | warning spec.hostnames: has 17 items
      HTTPRoute | spec: {hostnames: §[a_b]} | spec.hostnames: "a_b" is no host name
      HTTPRoute | spec: {hostnames: §['a.*']} | spec.hostnames: "a.*" is no host name
      HTTPRoute | spec: {hostnames: §['*']} | spec.hostnames: "*" is no host name
      HTTPRoute | spec: {hostnames: §[10.0.0.1]} | spec.hostnames: "10.0.0.1" is no host name
      HTTPRoute | spec: {hostnames: §['a:80']} | spec.hostnames: "a:80" is no host name
      HTTPRoute | spec: {hostnames: [a, a.b-c.d, '*.a', 1.a]} | accepted
      HTTPRoute | spec: {rules: [{matches: [{path: {value: §a}}]}]} | spec.rules[0].matches[0].path.value: "a" does not begin with a slash
      HTTPRoute | spec: {rules: [{matches: [{path: {value: §''}}]}]} | spec.rules[0].matches[0].path.value: "" does not begin with a slash
      HTTPRoute | spec: {rules: [{matches: [{path: {value: §/a//b}}]}]} | spec.rules[0].matches[0].path.value: "/a//b" contains //
      HTTPRoute | spec: {rules: [{matches: [{path: {value: §/a/./b}}]}]} | spec.rules[0].matches[0].path.value: "/a/./b" contains /./
      HTTPRoute | spec: {rules: [{matches: [{path: {value: §/a/..}}]}]} | spec.rules[0].matches[0].path.value: "/a/.." ends with a dot segment
      HTTPRoute | spec: {rules: [{matches: [{path: {type: Exact, value: §/a%2Fb}}]}]} | spec.rules[0].matches[0].path.value: "/a%2Fb" contains %2F
      HTTPRoute | spec: {rules: [{matches: [{path: {value: §'/a#b'}}]}]} | spec.rules[0].matches[0].path.value: "/a#b" contains #
      HTTPRoute | spec: {rules: [{matches: [{path: {value: §'/a?b'}}]}]} | spec.rules[0].matches[0].path.value: "/a?b" has a character that no path can have
      HTTPRoute | spec: {rules: [{matches: [{path: {value: §/X1024}}]}]} | spec.rules[0].matches[0].path.value: has 1025 characters
      HTTPRoute | spec: {rules: [{matches: [{path: {value: /X1023}}]}]} | accepted
      HTTPRoute | spec: {rules: [{matches: [{path: {type: §Prefix, value: /a}}]}]} | spec.rules[0].matches[0].path.type: is "Prefix"
      HTTPRoute | spec: {rules: [{matches: [{method: §get}]}]} | spec.rules[0].matches[0].method: "get" is no method of HTTP
      HTTPRoute | spec: {rules: [{matches: [{headers: [{name: §'a b', value: c}]}]}]} | spec.rules[0].matches[0].headers[0].name: "a b" is no name
      HTTPRoute | spec: {rules: [{matches: [{headers: [{name: §':path', value: c}]}]}]} | spec.rules[0].matches[0].headers[0].name: ":path" is no name
      HTTPRoute | spec: {rules: [{matches: [{headers: [{name: §X257, value: c}]}]}]} | is no name
      HTTPRoute | spec: {rules: [{matches: [{headers: [{name: X256, value: c}]}]}]} | accepted
      HTTPRoute | spec: {rules: [{matches: [{headers: [§{name: a}]}]}]} | spec.rules[0].matches[0].headers[0].value: is missing
      HTTPRoute | spec: {rules: [{matches: [{headers: §[17*({name: a#, value: c})]}]}]} | warning spec.rules[0].matches[0].headers: has 17 items
      HTTPRoute | spec: {rules: [{matches: [{queryParams: §[17*({name: a#, value: c})]}]}]} | warning spec.rules[0].matches[0].queryParams: has 17 items
      HTTPRoute | spec: {rules: [{matches: [{queryParams: [{name: a, value: §X1025}]}]}]} | spec.rules[0].matches[0].queryParams[0].value: has 1025 characters
      HTTPRoute | spec: {rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: §a/b, value: c}]}}]}]} | requestHeaderModifier.set[0].name: "a/b" is no header name
      HTTPRoute | spec: {rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: §[17*({name: a#, value: c})]}}]}]} | warning spec.rules[0].filters[0].requestHeaderModifier.add: has 17 items
      HTTPRoute | spec: {rules: [{filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: §[a, b, a]}}]}]} | warning spec.rules[0].filters[0].responseHeaderModifier.remove: "a" occurs twice
      HTTPRoute | spec: {rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: §300}}]}]} | spec.rules[0].filters[0].requestRedirect.statusCode: is 300
      HTTPRoute | spec: {rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: §304}}]}]} | spec.rules[0].filters[0].requestRedirect.statusCode: is 304
      HTTPRoute | spec: {rules: [{filters: [{type: RequestRedirect, requestRedirect: {scheme: §HTTPS}}]}]} | spec.rules[0].filters[0].requestRedirect.scheme: is "HTTPS"
      HTTPRoute | spec: {rules: [{filters: [{type: RequestRedirect, requestRedirect: {port: §0}}]}]} | spec.rules[0].filters[0].requestRedirect.port: is 0
      HTTPRoute | spec: {rules: [{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: §[{name: a, port: 1}]}]} | spec.rules[0].backendRefs: a rule that redirects has no backends
      HTTPRoute | spec: {rules: [{filters: §[{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, urlRewrite: {}}]}]} | spec.rules[0].filters: RequestRedirect and URLRewrite exclude each other
      HTTPRoute | spec: {rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {}}, {type: §RequestHeaderModifier, requestHeaderModifier: {}}]}]} | spec.rules[0].filters[1].type: RequestHeaderModifier occurs twice
      HTTPRoute | spec: {rules: [{filters: [§{type: URLRewrite}]}]} | spec.rules[0].filters[0].urlRewrite: is missing
      HTTPRoute | spec: {rules: [{filters: [{type: URLRewrite, urlRewrite: {path: {type: §ReplaceFullPath, replacePrefixMatch: /}}}]}]} | spec.rules[0].filters[0].urlRewrite.path.type: is "ReplaceFullPath", which does not go with the fields beside it
      HTTPRoute | spec: {rules: [{filters: [{type: URLRewrite, urlRewrite: {path: {type: §ReplacePrefixMatch}}}]}]} | spec.rules[0].filters[0].urlRewrite.path.type: is "ReplacePrefixMatch", which does not go
      HTTPRoute | spec: {rules: [{matches: [{path: {type: Exact, value: /a}}], filters: §[{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}]} | spec.rules[0].filters: ReplacePrefixMatch needs
      HTTPRoute | spec: {rules: [{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: ''}, hostname: a.b}}]}]} | accepted
      HTTPRoute | spec: {rules: [{backendRefs: [{name: a, port: 1, weight: §-1}]}]} | spec.rules[0].backendRefs[0].weight: is -1, but must be from 0 to 1000000
      HTTPRoute | spec: {rules: [{backendRefs: [{name: a, port: 1, weight: §1000001}]}]} | spec.rules[0].backendRefs[0].weight: is 1000001
      HTTPRoute | spec: {rules: [{backendRefs: [{name: a, port: 1, weight: 0}, {name: b, port: 65535, weight: 1000000}]}]} | accepted
      HTTPRoute | spec: {rules: [{backendRefs: [{name: a, port: §0}]}]} | spec.rules[0].backendRefs[0].port: is 0
      HTTPRoute | spec: {rules: [{backendRefs: [§{name: a}]}]} | spec.rules[0].backendRefs[0].port: is missing
      HTTPRoute | spec: {rules: [{backendRefs: [§{port: 1}]}]} | spec.rules[0].backendRefs[0].name: is missing
      HTTPRoute | spec: {rules: [{backendRefs: [{group: multicluster.x-k8s.io, kind: ServiceImport, name: a}]}]} | accepted
      HTTPRoute | spec: {rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: §{name: a}}}]}]} | spec.rules[0].filters[0].requestMirror.backendRef.port: is missing
      HTTPRoute | spec: {rules: [{filters: [{type: RequestMirror, requestMirror: {percent: §101, backendRef: {name: a, port: 1}}}]}]} | spec.rules[0].filters[0].requestMirror.percent: is 101
      HTTPRoute | spec: {rules: [{timeouts: {request: §10d}}]} | spec.rules[0].timeouts.request: "10d" is no duration
      HTTPRoute | spec: {rules: [{timeouts: {request: §1.5s}}]} | spec.rules[0].timeouts.request: "1.5s" is no duration
      HTTPRoute | spec: {rules: [{timeouts: {request: §100000s}}]} | spec.rules[0].timeouts.request: "100000s" is no duration
      HTTPRoute | spec: {rules: [{timeouts: {request: 99999h, backendRequest: 1h2m3s4ms}}]} | accepted
      HTTPRoute | spec: {rules: [{name: §A}]} | spec.rules[0].name: "A" is no name
      HTTPRoute | spec: {parentRefs: [{name: a, port: §0}]} | spec.parentRefs[0].port: is 0
      HTTPRoute | spec: {parentRefs: [{name: a, sectionName: §A}]} | spec.parentRefs[0].sectionName: "A" is no name
      HTTPRoute | spec: {parentRefs: [{name: a, namespace: §a.b}]} | spec.parentRefs[0].namespace: "a.b" is not a namespace
      HTTPRoute | spec: {parentRefs: [{name: a, kind: §'a b'}]} | spec.parentRefs[0].kind: "a b" is no kind
      HTTPRoute | spec: {parentRefs: [{name: a, group: §'a b'}]} | spec.parentRefs[0].group: "a b" is no group
      HTTPRoute | spec: {parentRefs: [{name: a, sectionName: b}, §{name: a, sectionName: b}]} | spec.parentRefs[1]: the same parent occurs twice
      HTTPRoute | spec: {parentRefs: [{name: a, sectionName: b}, §{name: a}]} | warning spec.parentRefs[1]: an API server refuses a parent with and without sectionName
      HTTPRoute | spec: {parentRefs: [{name: a, sectionName: b}, {name: a, sectionName: c}, {name: b}]} | accepted
      GRPCRoute | spec: {rules: §[17*({name: r#})]} | warning spec.rules: has 17 items
      GRPCRoute | spec: {rules: [{matches: §[65*({method: {service: a#}})]}]} | warning spec.rules[0].matches: has 65 items
      GRPCRoute | spec: {rules: [{filters: §[17*({type: RequestMirror, requestMirror: {backendRef: {name: a#, port: 1}}})]}]} | warning spec.rules[0].filters: has 17 items
      GRPCRoute | spec: {rules: [{matches: [{method: {service: §a-b}}]}]} | spec.rules[0].matches[0].method.service: "a-b" is no service
      GRPCRoute | spec: {rules: [{matches: [{method: {method: §/a}}]}]} | spec.rules[0].matches[0].method.method: "/a" is no method
      GRPCRoute | spec: {rules: [{matches: [{method: §{type: Exact}}]}]} | spec.rules[0].matches[0].method: names neither service nor method
      GRPCRoute | spec: {rules: [{matches: [{headers: [{name: §'a b', value: c}]}]}]} | spec.rules[0].matches[0].headers[0].name: "a b" is no name
      GRPCRoute | spec: {rules: [{backendRefs: [{name: a, port: 1, weight: §1000001}]}]} | spec.rules[0].backendRefs[0].weight: is 1000001
      GRPCRoute | spec: {rules: [{backendRefs: [§{name: a}]}]} | spec.rules[0].backendRefs[0].port: is missing
      GRPCRoute | spec: {rules: [{matches: [{method: {service: a.b_C.D, method: Get_1}}], backendRefs: [{name: a, port: 1}]}]} | accepted
      TLSRoute | spec: {hostnames: §[10.0.0.1], rules: [{backendRefs: [{name: a, port: 1}]}]} | spec.hostnames: "10.0.0.1" is no host name
      TLSRoute | spec: §{rules: [{backendRefs: [{name: a, port: 1}]}]} | warning spec.hostnames: is missing
      TLSRoute | spec: {hostnames: [a], rules: [§{}]} | spec.rules[0].backendRefs: is missing or empty
      TLSRoute | spec: {hostnames: [a], rules: [{backendRefs: [§{name: a}]}]} | spec.rules[0].backendRefs[0].port: is missing
      TLSRoute | spec: {hostnames: ['*.a.b'], rules: [{backendRefs: [{name: a, port: 1, weight: 0}]}]} | accepted
      TCPRoute | spec: §{} | spec.rules: is missing or empty
      TCPRoute | spec: {rules: [{backendRefs: [{name: a, port: 1}]}, §{backendRefs: [{name: b, port: 1}]}]} | spec.rules[1]: a second rule can never be met
      TCPRoute | spec: {rules: [{backendRefs: [{name: a, port: §65536}]}]} | spec.rules[0].backendRefs[0].port: is 65536
      TCPRoute | spec: {rules: [{backendRefs: §[17*({name: a#, port: 1})]}]} | warning spec.rules[0].backendRefs: has 17 items
      TCPRoute | spec: {rules: [{backendRefs: [{name: a, port: 1, weight: 3}, {name: b, port: 1}]}]} | accepted
      Gateway | spec: §{listeners: [{name: a, port: 80, protocol: HTTP}]} | spec.gatewayClassName: is missing
      Gateway | spec: §{gatewayClassName: weir} | spec.listeners: is missing or empty
      Gateway | spec: {gatewayClassName: weir, listeners: §[]} | spec.listeners: is missing or empty
      Gateway | spec: {gatewayClassName: weir, listeners: §[65*({name: a#, port: 1#, protocol: HTTP})]} | warning spec.listeners: has 65 items
      Gateway | spec: {gatewayClassName: weir, listeners: [§{port: 80, protocol: HTTP}]} | spec.listeners[0].name: is missing
      Gateway | spec: {gatewayClassName: weir, listeners: [{name: §A, port: 80, protocol: HTTP}]} | spec.listeners[0].name: "A" is no name
      Gateway | spec: {gatewayClassName: weir, listeners: [{name: a, port: 80, protocol: HTTP}, {name: §a, port: 81, protocol: HTTP}]} | spec.listeners[1].name: "a" occurs twice
      Gateway | spec: {gatewayClassName: weir, listeners: [§{name: a, protocol: HTTP}]} | spec.listeners[0].port: is missing
      Gateway | spec: {gatewayClassName: weir, listeners: [{name: a, port: §0, protocol: HTTP}]} | spec.listeners[0].port: is 0
      Gateway | spec: {gatewayClassName: weir, listeners: [§{name: a, port: 80}]} | spec.listeners[0].protocol: is missing
      Gateway | spec: {gatewayClassName: weir, listeners: [{name: a, port: 80, protocol: §'a b'}]} | spec.listeners[0].protocol: "a b" is no protocol
      Gateway | spec: {gatewayClassName: weir, listeners: [{name: a, port: 80, protocol: HTTP, tls: §{}}]} | spec.listeners[0].tls: means nothing on a listener of protocol HTTP
      Gateway | spec: {gatewayClassName: weir, listeners: [{name: a, port: 80, protocol: TCP, hostname: §a.b}]} | spec.listeners[0].hostname: means nothing on a listener of protocol TCP
      Gateway | spec: {gatewayClassName: weir, listeners: [{name: a, port: 443, protocol: HTTPS, tls: {mode: §Passthrough, certificateRefs: [{name: c}]}}]} | spec.listeners[0].tls.mode: must be Terminate
      Gateway | spec: {gatewayClassName: weir, listeners: [{name: a, port: 443, protocol: TLS, tls: {mode: §terminate, certificateRefs: [{name: c}]}}]} | spec.listeners[0].tls.mode: is "terminate"
      Gateway | spec: {gatewayClassName: weir, listeners: [{name: a, port: 443, protocol: HTTPS, tls: {mode: §Terminated, certificateRefs: [{name: c}]}}]} | spec.listeners[0].tls.mode
      Gateway | spec: {gatewayClassName: weir, listeners: [§{name: a, port: 443, protocol: TLS}]} | spec.listeners[0].tls: is missing
      Gateway | spec: {gatewayClassName: weir, listeners: [{name: a, port: 80, protocol: HTTP, hostname: §10.0.0.1}]} | spec.listeners[0].hostname: "10.0.0.1" is no host name
      Gateway | spec: {gatewayClassName: weir, listeners: [{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: §Some}}}]} | spec.listeners[0].allowedRoutes.namespaces.from: is "Some"
      Gateway | spec: {gatewayClassName: weir, listeners: [{name: a, port: 80, protocol: HTTP}, {name: §b, port: 80, protocol: HTTP}]} | spec.listeners[1].name: port, protocol and hostname are also those of listener a
      Gateway | spec: {gatewayClassName: weir, addresses: [{value: 10.0.0.1}, {value: §10.0.0.1}], listeners: [{name: a, port: 80, protocol: HTTP}]} | warning spec.addresses[1].value: "10.0.0.1" occurs twice
      Gateway | spec: {gatewayClassName: weir, listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP, hostname: '*.a'}, {name: c.d, port: 443, protocol: TLS, tls: {mode: Passthrough}}]} | accepted
      AuthorizationPolicy | spec: {action: §allow} | spec.action: is "allow"
      AuthorizationPolicy | spec: {rules: [{to: [{operation: {ports: [§'http']}}]}]} | "http"
      AuthorizationPolicy | spec: {rules: [{to: [{operation: {ports: [§'65536']}}]}]} | "65536"
      AuthorizationPolicy | spec: {rules: [{from: [{source: {ipBlocks: [§10.0.0.0/33]}}]}]} | "10.0.0.0/33"
      AuthorizationPolicy | spec: {action: DENY, selector: {matchLabels: {a: b}}, rules: [{from: [{source: {ipBlocks: [10.0.0.1], notIpBlocks: ['fd00::/8']}}], to: [{operation: {ports: ['80'], notMethods: ['G*']}}], when: [{key: source.ip, notValues: [10.0.0.0/8]}]}]} | accepted
      """;

  static Stream<Row> rows() {
    return ROWS.lines().map(ApiValidationTest::row);
  }

  record Row(String kind, String body, String answer) {
    @Override
    public String toString() {
      return kind + ": " + (body.length() > 160 ? body.substring(0, 160) + "..." : body);
    }
  }

  private static Row row(String line) {
    String[] parts = line.split(" \\| ", -1);
    assertThat(parts).as(line).hasSize(3);
    return new Row(parts[0].trim(), expand(parts[1]), parts[2].trim());
  }

  private static String expand(String body) {
    String counted =
        Pattern.compile("(\\d+)\\*\\((.*?)\\)(?=\\])")
            .matcher(body)
            .replaceAll(
                found ->
                    Matcher.quoteReplacement(
                        IntStream.range(0, Integer.parseInt(found.group(1)))
                            .mapToObj(i -> found.group(2).replace("#", String.valueOf(i)))
                            .collect(Collectors.joining(", "))));
    return Pattern.compile("X(\\d+)")
        .matcher(counted)
        .replaceAll(found -> "x".repeat(Integer.parseInt(found.group(1))));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("rows")
  void isAnsweredAsByAnApiServer(Row row) {
    String version = VERSIONS.getOrDefault(row.kind(), "gateway.networking.k8s.io/v1");
    String metadata = row.body().startsWith("metadata:") ? "" : "metadata: {name: x}, ";
    String text =
        "{apiVersion: " + version + ", kind: " + row.kind() + ", " + metadata + row.body() + "}";
    int column = text.indexOf('§') + 1;
    Diagnostics diagnostics = new Diagnostics(Purpose.CHECK);
    ResourceReader.read(SourceTree.of("f", text.replace("§", "")), diagnostics);
    List<String> errors = diagnostics.errors().stream().map(Objects::toString).toList();
    List<String> warnings = diagnostics.warnings().stream().map(Objects::toString).toList();
    if (row.answer().equals("accepted")) {
      assertThat(column).isZero();
      assertThat(errors).isEmpty();
      assertThat(warnings).noneSatisfy(w -> assertThat(w).contains("API server refuses"));
      return;
    }
    boolean warned = row.answer().startsWith("warning ");
    assertThat(column).isPositive();
    if (warned) {
      assertThat(errors).isEmpty();
    }
    assertThat(warned ? warnings : errors)
        .anySatisfy(
            e ->
                assertThat(e)
                    .startsWith("f:1:" + column + ": ")
                    .contains(row.answer().replace("warning ", "")));
  }
}
