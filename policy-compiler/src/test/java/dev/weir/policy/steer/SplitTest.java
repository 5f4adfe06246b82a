// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.steer;

import static dev.weir.policy.steer.Steered.SHOP;
import static dev.weir.policy.steer.Steered.asked;
import static dev.weir.policy.steer.Steered.errors;
import static dev.weir.policy.steer.Steered.route;
import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Service;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which splits the kernel makes by itself. */
class SplitTest {

  private static final String TCP =
      route(
          "TCPRoute",
          "r",
          "{parentRefs: [{group: '', kind: Service, name: a}], rules: [{backendRefs: ["
              + "{name: a, port: 80, weight: 90}, {name: b, port: 80, weight: 10}]}]}");

  @Test
  void aTcpRouteIsSlotsOfTheKernel() {
    Steered steered = asked(SHOP, TCP);
    assertThat(steered.service("a").tier()).isEqualTo(Service.Tier.KERNEL);
    assertThat(steered.slots("a", "a")).isEqualTo(900);
    assertThat(steered.slots("a", "b")).isEqualTo(100);
    assertThat(steered.proxy().needed()).isFalse();
  }

  @Test
  void aTcpRouteCanBePutInForce() {
    assertThat(errors(SHOP, TCP)).isEmpty();
  }

  @Test
  void aShareThatLeadsNowhereIsRefused() {
    Steered steered = asked(SHOP, TCP.replace("{name: b,", "{name: nobody,"));
    assertThat(steered.refused("a")).isEqualTo(100);
    steered.warns("there is no Service shop/nobody: its share of connections is refused");
  }

  @Test
  void ofTwoTcpRoutesTheFirstHasEveryConnection() {
    Steered steered =
        asked(SHOP, TCP, TCP.replace("name: r,", "name: s,").replace("weight: 90", "weight: 0"));
    assertThat(steered.slots("a", "a")).isEqualTo(900);
    steered.warns("is never met: TCPRoute shop/r is attached to the same port");
  }

  @Test
  void withoutATcpRouteEveryBackendIsOneSlot() {
    assertThat(asked(SHOP).service("a").slots()).hasSize(1);
  }

  private static String http(String rule) {
    return route(
            "HTTPRoute",
            "r",
            "{parentRefs: [{group: '', kind: Service, name: a}], rules: [{RULE backendRefs: ["
                + "{name: a, port: 80, weight: 3}, {name: b, port: 80, weight: 1}]}]}")
        .replace("RULE", rule)
        .replace("namespace: shop}", "namespace: shop, annotations: {weir.dev/split: connection}}");
  }

  @Test
  void aBareSplitIsMadeByConnectionWhereTheRouteSaysSo() {
    Steered steered = asked(SHOP, http(""));
    assertThat(steered.service("a").tier()).isEqualTo(Service.Tier.KERNEL);
    assertThat(steered.slots("a", "a")).isEqualTo(750);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          matches: [{path: {value: /x}}],                                   | the rule matches by request
          matches: [{headers: [{name: a, value: b}]}],                      | the rule matches by request
          filters: [{type: URLRewrite, urlRewrite: {hostname: x.example}}], | the rule has filters
          timeouts: {request: 1s},                                          | timeouts, retries or session
          """)
  void whateverLooksAtRequestsStaysWithTheProxy(String rule, String why) {
    Steered steered = asked(SHOP, http(rule));
    assertThat(steered.service("a").tier()).isEqualTo(Service.Tier.PROXY);
    steered.warns(why);
  }

  @Test
  void withoutTheAnnotationTheProxySplitsByRequest() {
    Steered steered = asked(SHOP, http("").replace("weir.dev/split: connection", "x: y"));
    assertThat(steered.service("a").tier()).isEqualTo(Service.Tier.PROXY);
  }
}
