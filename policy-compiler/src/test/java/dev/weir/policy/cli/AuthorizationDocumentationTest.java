// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.json.JsonObject;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

/**
 * What Istio's references of AuthorizationPolicy, its conditions and PeerAuthentication say, and
 * what its security best practices and normalisation pages say, sentence by sentence.
 */
class AuthorizationDocumentationTest {

  @TempDir private Path folder;

  private static final String BOB =
      "principal: cluster.local/ns/foo/sa/bob, ip: 10.1.2.3, remote_ip: 192.0.2.7";

  /**
   * Whether a request passes.
   *
   * @param source empty for bob
   * @param request empty for a connection
   */
  private boolean allows(String action, String rules, String source, String request)
      throws IOException {
    Path policy = folder.resolve("policy.yaml");
    Files.writeString(
        policy,
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
            + "metadata: {name: p, namespace: foo}\nspec: {action: "
            + action
            + ", rules: ["
            + rules
            + "]}\n");
    String line =
        json("source", source.isEmpty() ? BOB : source)
            + ", "
            + "\"destination\": {\"namespace\": \"foo\", \"labels\": {\"app\": \"web\"},"
            + " \"ip\": \"10.9.9.9\", \"port\": 8080}"
            + (request.isEmpty() ? "" : ", " + json("request", request));
    Path cases = Files.writeString(folder.resolve("cases.jsonl"), "{" + line + "}\n");
    StringWriter out = new StringWriter();
    CommandLine commandLine = PolicyTool.commandLine();
    commandLine.setOut(new PrintWriter(out));
    commandLine.setErr(new PrintWriter(out));
    int code = commandLine.execute("explain", policy.toString(), "--cases", cases.toString());
    assertThat(code).as(out.toString()).isEqualTo(ExitCodes.OK);
    return JsonObject.parse(out.toString(), "answer").optionalFlag("allow").orElseThrow();
  }

  /** {@code a: b, c: {d: e}} as JSON. */
  private static String json(String name, String members) {
    return "\""
        + name
        + "\": {"
        + members
            .replaceAll("([A-Za-z0-9_:./*%?=&@+-]*[A-Za-z0-9_./*%?=&@+-])", "\"$1\"")
            .replace("\"false\"", "false")
        + "}";
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        // Exact, prefix, suffix, presence.
        "principals: [cluster.local/ns/foo/sa/bob] | true",
        "principals: [cluster.local/ns/foo/*] | true",
        "principals: ['*/ns/foo/sa/bob'] | true",
        "principals: ['*'] | true",
        "principals: [spiffe://cluster.local/ns/foo/sa/bob] | false",
        "principals: [Cluster.local/ns/foo/sa/bob] | false",
        "principals: [cluster.local/ns/*/sa/bob] | false",
        "notPrincipals: [cluster.local/ns/foo/sa/bob] | false",
        "notPrincipals: ['*'] | false",
        "namespaces: [foo] | true",
        "namespaces: [fo*] | true",
        "namespaces: ['*oo'] | true",
        "namespaces: [bar] | false",
        "notNamespaces: [bar] | true",
        "serviceAccounts: [bob] | true",
        "serviceAccounts: [foo/bob] | true",
        "serviceAccounts: [bar/bob] | false",
        "notServiceAccounts: [bob] | false",
        "trustDomains: [cluster.local] | true",
        "notTrustDomains: ['cluster*'] | false",
        "ipBlocks: [10.1.2.3] | true",
        "ipBlocks: [10.1.2.4] | false",
        "ipBlocks: ['10.1.2.0/24', 192.168.0.0/16] | true",
        "ipBlocks: ['::ffff:10.1.2.3'] | true",
        "ipBlocks: ['::/0'] | false",
        "notIpBlocks: [10.1.2.0/24] | false",
        "remoteIpBlocks: [192.0.2.0/24] | true",
        "remoteIpBlocks: [10.1.2.3] | false",
        "notRemoteIpBlocks: [192.0.2.7] | false",
        "requestPrincipals: ['*'] | false",
        "notRequestPrincipals: ['*'] | true",
        // All fields of a source must hold.
        "namespaces: [foo], ipBlocks: [10.1.2.4] | false",
        "namespaces: [foo], notIpBlocks: [10.1.2.4] | true",
      })
  void sources(String source, boolean expected) throws IOException {
    String rule = "{from: [{source: {" + source + "}}]}";

    assertThat(allows("ALLOW", rule, "", "path: /")).isEqualTo(expected);
    assertThat(allows("DENY", rule, "", "path: /")).isEqualTo(!expected);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "principals: ['*'] | false",
        "notPrincipals: ['*'] | true",
        "namespaces: ['*'] | false",
        "notNamespaces: [foo] | true",
        "serviceAccounts: [bob] | false",
        "notServiceAccounts: [bob] | true",
        "trustDomains: ['*'] | false",
        "ipBlocks: [10.1.2.3] | true",
      })
  void whoComesInPlainTextHasNoPrincipal(String source, boolean expected) throws IOException {
    String rule = "{from: [{source: {" + source + "}}]}";

    assertThat(allows("ALLOW", rule, "ip: 10.1.2.3", "path: /")).isEqualTo(expected);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "methods: [GET] | path: / | true",
        "methods: [get] | path: / | false",
        "methods: ['P*'] | path: /, method: PUT | true",
        "methods: ['*'] | path: / | true",
        "methods: [GET] | path: /, method: get | false",
        "methods: [POST] | protocol: grpc, path: /pkg.Service/Method | true",
        "methods: [GET] | protocol: grpc, path: /pkg.Service/Method | false",
        "paths: [/pkg.Service/Method] | protocol: grpc, path: /pkg.Service/Method | true",
        "notMethods: [GET] | path: / | false",
        "hosts: [web.example] | path: /, host: WEB.example | true",
        "hosts: [WEB.Example] | path: /, host: web.example | true",
        "hosts: [web.example] | path: /, host: web.example:8080 | false",
        "hosts: ['web.example:*'] | path: /, host: web.example:8080 | true",
        "hosts: ['*.EXAMPLE'] | path: /, host: web.example | true",
        "hosts: ['*.example'] | path: /, host: example | false",
        "hosts: ['*'] | path: /, host: a | true",
        "notHosts: [web.example] | path: /, host: web.example | false",
        "ports: ['8080'] | path: / | true",
        "ports: ['80'] | path: / | false",
        "notPorts: ['8080'] | path: / | false",
        "paths: [/info*] | path: /information | true",
        "paths: ['*/info'] | path: /a/info | true",
        "paths: [/info] | path: /info/ | false",
        "paths: [/info] | path: /info?a=b | true",
        "paths: ['*a=b'] | path: /info?a=b | false",
        "paths: [/Info] | path: /info | false",
        "paths: ['*'] | path: / | true",
        "paths: ['/foo/{*}'] | path: /foo/bar | true",
        "paths: ['/foo/{*}'] | path: /foo/bar?q=1 | true",
        "paths: ['/foo/{*}'] | path: /foo/bar/baz | false",
        "paths: ['/foo/{*}'] | path: /foo/ | false",
        "paths: ['/foo/{**}/'] | path: /foo/bar/baz/ | true",
        "paths: ['/foo/{**}/'] | path: /foo/bar/baz | false",
        "paths: ['/foo/{**}'] | path: /foo/ | true",
        "paths: ['/foo/{**}'] | path: /foo | false",
        "paths: ['/foo/{*}/bar/{**}'] | path: /foo/buzz/bar/ | true",
        "paths: ['/foo/{*}/bar/{**}'] | path: /foo/buzz/bar/baz | true",
        "paths: ['/foo/{*}/bar/{**}'] | path: /foo/bar/baz | false",
        "paths: ['/{*}/baz/{*}'] | path: /foo/baz/bar | true",
        "paths: ['/{*}/baz/{*}'] | path: /foo/foo/baz/bar | false",
        "notPaths: ['/{**}/admin'] | path: /a/b/admin | false",
        // RFC 3986 normalisation before anything is compared.
        "paths: [/admin] | path: /a/../admin | true",
        "paths: [/admin] | path: /./admin | true",
        "paths: [/admin] | path: /%61dmin | true",
        "paths: [/a//b] | path: /a//b | true",
        // All fields of an operation must hold.
        "methods: [GET], paths: [/a] | path: /a | true",
        "methods: [GET], paths: [/a] | path: /b | false",
        "methods: [GET], notPaths: [/a] | path: /b | true",
      })
  void operations(String operation, String request, boolean expected) throws IOException {
    String rule = "{to: [{operation: {" + operation + "}}]}";

    assertThat(allows("ALLOW", rule, "", request)).isEqualTo(expected);
    assertThat(allows("DENY", rule, "", request)).isEqualTo(!expected);
    assertThat(allows("AUDIT", rule, "", request)).isTrue();
  }

  private static final String TOKEN =
      "path: /, jwt: {principal: iss.example/alice, claims: {iss: iss.example, sub: alice, aud: [a,"
          + " b], azp: app, scope: r, groups: [g1, g2], nested: {key: [v]}}}";

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "request.headers[X-Token] | values: [admin] | path: /, headers: {x-token: admin} | true",
        "request.headers[x-token] | values: [admin] | path: /, headers: {X-TOKEN: admin} | true",
        "request.headers[x-token] | values: [Admin] | path: /, headers: {x-token: admin} | false",
        "request.headers[x-token] | values: [adm*] | path: /, headers: {x-token: admin} | true",
        "request.headers[x-token] | values: ['*'] | path: /, headers: {x-token: admin} | true",
        "request.headers[x-token] | values: ['*'] | path: / | false",
        "request.headers[x-token] | notValues: ['*'] | path: / | true",
        "request.headers[x-token] | notValues: [admin] | path: / | true",
        "request.headers[x-token] | notValues: [admin] | path: /, headers: {x-token: admin} |"
            + " false",
        "request.headers[x-token] | values: ['a,b'] | path: /, headers: {x-token: [a, b]} | true",
        "request.headers[x-token] | values: [a] | path: /, headers: {x-token: [a, b]} | false",
        "request.headers[:authority] | values: [w:80] | path: /, host: w:80 | true",
        "request.headers[:method] | values: [GET] | path: / | true",
        "source.ip | values: [10.1.2.0/24] | path: / | true",
        "source.ip | notValues: [10.1.2.3] | path: / | false",
        "remote.ip | values: [192.0.2.7] | path: / | true",
        "source.namespace | values: [foo] | path: / | true",
        "source.principal | values: [cluster.local/ns/foo/sa/bob] | path: / | true",
        "destination.ip | values: [10.9.9.9] | path: / | true",
        "destination.port | values: ['80', '8080'] | path: / | true",
        "connection.sni | values: [a.example] | path: /, sni: a.example | true",
        "connection.sni | values: ['*.example'] | path: /, sni: a.example | true",
        "connection.sni | notValues: [a.example] | path: / | true",
        "request.auth.principal | values: [iss.example/alice] | TOKEN | true",
        "request.auth.principal | values: [iss.example/*] | TOKEN | true",
        "request.auth.principal | values: ['*/alice'] | TOKEN | true",
        "request.auth.principal | values: ['*'] | TOKEN | true",
        "request.auth.principal | values: ['*'] | path: / | false",
        "request.auth.principal | notValues: ['*'] | path: / | true",
        "request.auth.audiences | values: [b] | TOKEN | true",
        "request.auth.audiences | values: [c] | TOKEN | false",
        "request.auth.presenter | values: [app] | TOKEN | true",
        "request.auth.claims[iss] | values: ['*.example'] | TOKEN | true",
        "request.auth.claims[groups] | values: [g2] | TOKEN | true",
        "request.auth.claims[groups] | notValues: [g2] | TOKEN | false",
        "request.auth.claims[nested][key] | values: [v] | TOKEN | true",
        "request.auth.claims[nested] | values: ['*'] | TOKEN | false",
        "request.auth.claims[none] | notValues: [x] | TOKEN | true",
        "experimental.envoy.filters.a[b] | values: ['*'] | path: / | false",
      })
  void conditions(String key, String values, String request, boolean expected) throws IOException {
    String rule = "{when: [{key: '" + key + "', " + values + "}]}";
    String asked = request.equals("TOKEN") ? TOKEN : request;

    assertThat(allows("ALLOW", rule, "", asked)).isEqualTo(expected);
    assertThat(allows("DENY", rule, "", asked)).isEqualTo(!expected);
  }

  /**
   * "In a DENY rule, missing attributes are treated as matches"; of ALLOW the rule never matches.
   */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{to: [{operation: {methods: [GET]}}]} | false | false",
        "{to: [{operation: {notMethods: [GET]}}]} | false | false",
        "{to: [{operation: {methods: [GET], ports: ['8080']}}]} | false | false",
        "{to: [{operation: {methods: [GET], ports: ['80']}}]} | false | true",
        "{to: [{operation: {ports: ['8080']}}]} | true | false",
        "{from: [{source: {requestPrincipals: ['*']}}]} | false | false",
        "{from: [{source: {namespaces: [bar], requestPrincipals: ['*']}}]} | false | true",
        "{when: [{key: 'request.headers[a]', values: [b]}]} | false | false",
        "{when: [{key: 'request.headers[a]', values: [b]}, {key: source.ip, values: [1.1.1.1]}]}"
            + " | false | true",
        "{when: [{key: source.ip, values: [10.1.2.3]}]} | true | false",
        "{} | true | false",
      })
  void tcp(String rule, boolean allowed, boolean passesDeny) throws IOException {
    assertThat(allows("ALLOW", rule, "", "")).isEqualTo(allowed);
    assertThat(allows("DENY", rule, "", "")).isEqualTo(passesDeny);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "ALLOW | '' | false",
        "ALLOW | {} | true",
        "DENY | {} | false",
        "AUDIT | '' | true",
        // Any source, any operation, every condition; any rule.
        "ALLOW | {from: [{source: {namespaces: [x]}}, {source: {namespaces: [foo]}}]} | true",
        "ALLOW | {to: [{operation: {methods: [PUT]}}, {operation: {methods: [GET]}}]} | true",
        "ALLOW | '{when: [{key: source.ip, values: [10.1.2.3]}, {key: source.namespace, values:"
            + " [x]}]}' | false",
        "ALLOW | '{from: [{source: {namespaces: [x]}}], to: [{operation: {methods: [GET]}}]}'"
            + " | false",
        "ALLOW | '{to: [{operation: {methods: [PUT]}}]}, {to: [{operation: {methods: [GET]}}]}'"
            + " | true",
      })
  void rules(String action, String rules, boolean expected) throws IOException {
    assertThat(allows(action, rules, "", "path: /")).isEqualTo(expected);
  }
}
