package contract

import "github.com/countersign-io/countersign/authz"

// details are what an operation asks of a token's authorization details: alternatives,
// each of which one element must meet by itself. Where nobody need bring a token, nobody
// could be asked for them.
func (c *compiler) details(at place, operation *authz.Operation) []authz.DetailRule {
	if at.present() && operation.TakesAnonymous() {
		c.fault(at, "asks for authorization details where a call needs no token", "ask for one in every alternative of its security, or remove it")
		return nil
	}
	var rules []authz.DetailRule
	for _, item := range c.list(at, "a list of authorization details") {
		if c.known(item, "type", "actions", "datatypes", "privileges") {
			rules = append(rules, c.detail(item))
		}
	}
	return rules
}

func (c *compiler) detail(at place) authz.DetailRule {
	if !at.member("type").present() {
		c.fault(at, "has no type", "give the type that the authorization server knows, such as payment_initiation")
	}
	return authz.DetailRule{
		Type:       c.text(at.member("type")),
		Actions:    c.texts(at.member("actions")),
		DataTypes:  c.texts(at.member("datatypes")),
		Privileges: c.texts(at.member("privileges")),
	}
}
