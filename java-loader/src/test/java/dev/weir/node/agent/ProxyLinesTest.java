// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.json.JsonObject;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

final class ProxyLinesTest {

  private static List<String> lines(String json) {
    return ProxyLines.of(JsonObject.parse(json, "status").toMap()).stream()
        .map(line -> line.what() + " " + line.text())
        .toList();
  }

  @Test
  void aProxyThatTellsNothingHasNoLines() {
    assertThat(lines("{}")).isEmpty();
  }

  @Test
  void clientsOfAListenerShareALine() {
    assertThat(
            lines(
                """
                {"listeners":["127.0.0.1:15001","*:8080"],"connections":7,"clients":[
                 {"listener":"*:8080","protocol":"http/1.1","open":4},
                 {"listener":"*:8080","protocol":"http/2","open":2},
                 {"listener":"outbound","protocol":"tcp","open":1}]}
                """))
        .containsExactly(
            "listeners *:8080, 127.0.0.1:15001; client connections: 7",
            "clients *:8080: http/1.1 4, http/2 2",
            "clients outbound: tcp 1");
  }

  @Test
  void aRouteIsALineWithItsPlaceAndWhatItsBackendsGetNow() {
    assertThat(
            lines(
                """
                {"routes":[{"kind":"HTTPRoute","name":"shop/cart","source":"route.yaml:1",
                 "parents":[{"name":"Service shop/cart:80","hostnames":[]},
                            {"name":"Gateway shop/edge/web","hostnames":["a.example","b.example"]}],
                 "rules":[{"name":"","matches":["GET Exact /a","PathPrefix /b","PathPrefix /c"],
                   "backends":[{"cluster":"shop/v1:80","weight":99,"weight_now":99},
                               {"cluster":"shop/v2:80","weight":1,"weight_now":0}]},
                  {"name":"","matches":["PathPrefix /"],"backends":[]}],
                 "requests":12}],"routes_total":1}
                """))
        .containsExactly(
            "route HTTPRoute shop/cart (route.yaml:1) at Service shop/cart:80, Gateway"
                + " shop/edge/web for a.example, b.example: GET Exact /a or PathPrefix /b or 1 more"
                + " -> shop/v1:80 99, shop/v2:80 1 (now 0: rolled back); PathPrefix / -> no"
                + " backend; requests: 12");
  }

  @Test
  void identitiesAndTunnelsNamePrincipals() {
    assertThat(
            lines(
                """
                {"tunnel_peers":[
                 {"direction":"in","peer":"10.0.0.2","principal":"t/ns/a/sa/b","open":1},
                 {"direction":"out","peer":"west","principal":"t/ns/a/sa/c","open":2}],
                 "identities":[{"principal":"t/ns/a/sa/c","ends":"2030-01-01T00:00:00Z",
                 "seconds_left":5,"problem":"ends soon"}]}
                """))
        .containsExactly(
            "tunnel from 10.0.0.2 as t/ns/a/sa/b: 1",
            "tunnel to west as t/ns/a/sa/c: 2",
            "identity spiffe://t/ns/a/sa/c until 2030-01-01T00:00:00Z: ends soon");
  }

  @Test
  void ofThousandsTwentyAreShownAndHowManyMoreThereAre() {
    String routes =
        IntStream.range(0, 500)
            .mapToObj(i -> "{\"kind\":\"TCPRoute\",\"name\":\"a/r" + i + "\"}")
            .collect(Collectors.joining(","));
    List<String> lines = lines("{\"routes\":[" + routes + "],\"routes_total\":4000}");
    assertThat(lines).hasSize(21);
    assertThat(lines.getLast()).isEqualTo("route and 3980 more: weir status -o json");
  }
}
