// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.rbac;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.access.AskedRequest;
import dev.weir.policy.plan.AccessPlan.Action;
import dev.weir.policy.plan.AccessPlan.Attribute;
import dev.weir.policy.plan.AccessPlan.Clause;
import dev.weir.policy.plan.AccessPlan.Condition;
import dev.weir.policy.plan.AccessPlan.Policy;
import dev.weir.policy.plan.AccessPlan.Term;
import dev.weir.policy.plan.Address;
import dev.weir.policy.rbac.AccessDecision.Verdict;
import dev.weir.policy.route.RequestTarget;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AccessRulesTest {

  private static final Principal WEB = Principal.of("cluster.local", "shop", "web");

  private static final Token TOKEN =
      Token.of(
          "https://issuer/alice",
          Map.of(
              "aud",
              List.of("shop", "bank"),
              "azp",
              "app",
              "scope",
              "read write",
              "admin",
              true,
              "realm",
              Map.of("roles", List.of("buyer"))),
          Set.of());

  private static AskedRequest request(boolean http, Principal principal) {
    return new AskedRequest(
        http,
        principal,
        address("10.1.2.3"),
        address("192.0.2.7"),
        address("fd00::5"),
        8080,
        "api.shop",
        "Shop.Example:8080",
        "GET",
        RequestTarget.parse("/a/b/c?q=1"),
        Map.of("x-user", "alice,bob", "x-empty", ""),
        TOKEN);
  }

  private static final AskedRequest GET = request(true, WEB);
  private static final AskedRequest TCP = request(false, WEB);

  private static Address address(String text) {
    return Address.parse(text).orElseThrow();
  }

  private static Condition has(Attribute attribute, String... values) {
    return new Condition(attribute, List.of(), List.of(values), List.of());
  }

  private static Condition hasNot(Attribute attribute, String... values) {
    return new Condition(attribute, List.of(), List.of(), List.of(values));
  }

  private static Condition header(String name, String value) {
    return new Condition(Attribute.HEADER, List.of(name), List.of(value), List.of());
  }

  private static Clause clause(int rule, Condition... all) {
    return new Clause(rule, List.of(), List.of(), new Term(List.of(all)));
  }

  private static Policy policy(int rule, Action action, Clause... clauses) {
    return new Policy(rule, action, false, List.of(clauses));
  }

  private static Policy audited(int rule, Action action, Clause... clauses) {
    return new Policy(rule, action, true, List.of(clauses));
  }

  private static boolean matches(Condition condition, Attributes attributes) {
    AccessRules rules = new AccessRules(List.of(policy(1, Action.DENY, clause(2, condition))));
    return rules.decide(attributes).verdict() == Verdict.REFUSE;
  }

  @ParameterizedTest
  @CsvSource({
    "SOURCE_IP,10.1.0.0/16,true",
    "SOURCE_IP,10.1.2.3,true",
    "SOURCE_IP,10.2.0.0/16,false",
    "SOURCE_IP,::ffff:10.1.2.0/120,true",
    "SOURCE_IP,::/0,false",
    "SOURCE_IP,0.0.0.0/0,true",
    "DESTINATION_IP,fd00::/8,true",
    "DESTINATION_IP,0.0.0.0/0,false",
    "REMOTE_IP,192.0.2.0/24,true",
    "DESTINATION_PORT,8080,true",
    "DESTINATION_PORT,80,false",
    "SOURCE_PRINCIPAL,cluster.local/ns/shop/sa/web,true",
    "SOURCE_PRINCIPAL,*/sa/web,true",
    "SOURCE_PRINCIPAL,cluster.local/*,true",
    "SOURCE_PRINCIPAL,*,true",
    "SOURCE_PRINCIPAL,cluster.local/ns/shop/sa/we,false",
    "SOURCE_NAMESPACE,shop,true",
    "SOURCE_NAMESPACE,sh*,true",
    "SOURCE_SERVICE_ACCOUNT,shop/web,true",
    "SOURCE_SERVICE_ACCOUNT,bank/web,false",
    "SOURCE_TRUST_DOMAIN,cluster.local,true",
    "CONNECTION_SNI,*.shop,true",
    "FILTER_METADATA,*,false",
    "HOST,shop.example:8080,true",
    "HOST,SHOP.*,true",
    "HOST,*.EXAMPLE:8080,true",
    "HOST,shop.example,false",
    "METHOD,GET,true",
    "METHOD,get,false",
    "PATH,/a/b/c,true",
    "PATH,/a*,true",
    "PATH,*/c,true",
    "PATH,*q=1,false",
    "PATH,/a/{*}/c,true",
    "PATH,/a/{*},false",
    "PATH,/a/{**},true",
    "PATH,/{*}/{**}/c,true",
    "PATH,/a/b/c/{**},false",
    "REQUEST_PRINCIPAL,https://issuer/alice,true",
    "REQUEST_PRINCIPAL,https://issuer/*,true",
    "REQUEST_PRINCIPAL,*/alice,true",
    "REQUEST_PRINCIPAL,*,true",
    "REQUEST_PRINCIPAL,https://issuer,false",
    "REQUEST_AUDIENCES,bank,true",
    "REQUEST_AUDIENCES,other,false",
    "REQUEST_PRESENTER,app,true",
  })
  void comparesAttributes(Attribute attribute, String value, boolean expected) {
    assertThat(matches(has(attribute, value), GET)).isEqualTo(expected);
  }

  @ParameterizedTest
  @CsvSource({
    "x-user,'alice,bob',true",
    "X-User,alice*,true",
    "x-user,bob,false",
    "x-empty,*,true",
    "x-none,*,false",
    "':authority',Shop.Example:8080,true",
    "':authority',shop.example:8080,false",
    "':method',GET,true",
    "':path',/a/b/c?q=1,true",
  })
  void comparesHeaders(String name, String value, boolean expected) {
    assertThat(matches(header(name, value), GET)).isEqualTo(expected);
  }

  @ParameterizedTest
  @CsvSource({
    "scope,read,true",
    "scope,read write,false",
    "admin,true,false",
    "realm,*,false",
    "none,*,false",
    "realm/roles,buyer,true",
    "realm/roles/x,buyer,false",
  })
  void comparesClaims(String names, String value, boolean expected) {
    Condition claim =
        new Condition(
            Attribute.REQUEST_CLAIM, List.of(names.split("/", -1)), List.of(value), List.of());

    assertThat(matches(claim, GET)).isEqualTo(expected);
  }

  @ParameterizedTest
  @CsvSource({
    "/foo/{*},/foo/bar,true",
    "/foo/{*},/foo/,false",
    "/foo/{*},/foo/bar/baz,false",
    "/foo/{**}/,/foo/bar/,true",
    "/foo/{**}/,/foo//,true",
    "/foo/{**}/,/foo/bar,false",
    "/foo/{*}/bar/{**},/foo/x/bar/,true",
    "/foo/{*}/bar/{**},/foo/x/bar/y/z,true",
    "/{**}/x,/a/b/x,true",
    "/{**}/x,/x,false",
    "/foo/{*},/foo/a*b,false",
    "{*}/x,/x,false",
  })
  void comparesPathTemplates(String template, String path, boolean expected) {
    assertThat(PathTemplate.of(template).matches(path)).isEqualTo(expected);
  }

  @ParameterizedTest
  @CsvSource({"SOURCE_PRINCIPAL", "SOURCE_NAMESPACE", "SOURCE_TRUST_DOMAIN"})
  void whoeverHasNoPrincipalMatchesNoValueAndNoNotValue(Attribute attribute) {
    AskedRequest plain = request(true, Principal.NONE);

    assertThat(matches(has(attribute, "*"), plain)).isFalse();
    assertThat(matches(hasNot(attribute, "*"), plain)).isTrue();
  }

  @Test
  void aNotValueHoldsForAHeaderThatIsNotThere() {
    Condition other = new Condition(Attribute.HEADER, List.of("x-none"), List.of(), List.of("a"));

    assertThat(matches(other, GET)).isTrue();
  }

  @Test
  void anAddressThatIsNotKnownLiesInNoBlock() {
    AskedRequest nowhere =
        new AskedRequest(
            false,
            WEB,
            Attributes.NOWHERE,
            Attributes.NOWHERE,
            Attributes.NOWHERE,
            Attributes.NO_PORT,
            "",
            "",
            "",
            Optional.empty(),
            Map.of(),
            Token.NONE);

    assertThat(matches(has(Attribute.SOURCE_IP, "::/0"), nowhere)).isFalse();
    assertThat(matches(hasNot(Attribute.DESTINATION_PORT, "80"), nowhere)).isTrue();
  }

  @Test
  void withoutPoliciesEverythingPasses() {
    assertThat(AccessRules.NONE.decide(GET)).isEqualTo(AccessDecision.UNASKED);
  }

  @Test
  void denyGoesBeforeAllow() {
    AccessRules rules =
        new AccessRules(
            List.of(
                policy(1, Action.ALLOW, clause(2)),
                policy(3, Action.DENY, clause(4, has(Attribute.METHOD, "GET")))));

    assertThat(rules.decide(GET)).isEqualTo(new AccessDecision(Verdict.REFUSE, 4));
  }

  @Test
  void whatNoAllowPolicyMatchesIsRefusedByTheFirstOfThem() {
    AccessRules rules =
        new AccessRules(
            List.of(
                policy(1, Action.ALLOW, clause(2, has(Attribute.METHOD, "PUT"))),
                policy(3, Action.ALLOW)));

    assertThat(rules.decide(GET)).isEqualTo(new AccessDecision(Verdict.REFUSE, 1));
  }

  @Test
  void auditPoliciesChangeNothing() {
    AccessRules rules = new AccessRules(List.of(policy(1, Action.AUDIT, clause(2))));

    assertThat(rules.decide(GET).verdict()).isEqualTo(Verdict.ALLOW);
    assertThat(rules.matches(GET)).extracting(AccessRules.Match::rule).containsExactly(2);
  }

  @Test
  void aPolicyInAuditOnlySaysWhatItWouldRefuse() {
    AccessRules rules =
        new AccessRules(
            List.of(policy(1, Action.ALLOW, clause(2)), audited(3, Action.DENY, clause(4))));

    assertThat(rules.decide(GET)).isEqualTo(new AccessDecision(Verdict.AUDIT, 4));
  }

  @Test
  void anAllowPolicyInAuditSaysWhatItWouldNotAllow() {
    AccessRules rules = new AccessRules(List.of(audited(1, Action.ALLOW)));

    assertThat(rules.decide(GET)).isEqualTo(new AccessDecision(Verdict.AUDIT, 1));
  }

  @Test
  void whatIsEnforcedRefusesBeforeWhatIsInAudit() {
    AccessRules rules =
        new AccessRules(List.of(policy(1, Action.ALLOW), audited(2, Action.DENY, clause(3))));

    assertThat(rules.decide(GET).verdict()).isEqualTo(Verdict.REFUSE);
  }

  @Test
  void onTcpARuleWithHttpFieldsNeverAllows() {
    Clause either =
        new Clause(
            2,
            List.of(),
            List.of(
                new Term(List.of(has(Attribute.DESTINATION_PORT, "8080"))),
                new Term(List.of(has(Attribute.PATH, "/a")))),
            new Term(List.of()));
    AccessRules rules = new AccessRules(List.of(policy(1, Action.ALLOW, either)));

    assertThat(rules.decide(GET).verdict()).isEqualTo(Verdict.ALLOW);
    assertThat(rules.decide(TCP).verdict()).isEqualTo(Verdict.REFUSE);
  }

  @Test
  void onTcpTheHttpFieldsOfADenyRuleDoNotCount() {
    AccessRules rules =
        new AccessRules(
            List.of(
                policy(
                    1,
                    Action.DENY,
                    clause(
                        2,
                        has(Attribute.METHOD, "PUT"),
                        has(Attribute.SOURCE_NAMESPACE, "shop")))));

    assertThat(rules.decide(GET).verdict()).isEqualTo(Verdict.ALLOW);
    assertThat(rules.decide(TCP).verdict()).isEqualTo(Verdict.REFUSE);
  }

  @Test
  void aRuleAboutConnectionsAloneIsDecidedByTheConnection() {
    AccessRules rules =
        new AccessRules(
            List.of(policy(1, Action.ALLOW, clause(2, has(Attribute.SOURCE_NAMESPACE, "shop")))));

    assertThat(rules.decidedByConnection(GET)).isTrue();
  }

  @Test
  void aRuleAboutRequestsIsNotDecidedByTheConnection() {
    AccessRules rules =
        new AccessRules(List.of(policy(1, Action.ALLOW, clause(2, has(Attribute.PATH, "/a")))));

    assertThat(rules.decidedByConnection(GET)).isFalse();
  }

  @Test
  void anIdentityMayHaveFurtherPairs() {
    Principal principal = Principal.parse("spiffe://td/cluster/a/ns/shop/pod/x/sa/web/y");

    assertThat(principal.trustDomain()).isEqualTo("td");
    assertThat(principal.namespace()).isEqualTo("shop");
    assertThat(principal.account()).isEqualTo("shop/web");
  }
}
