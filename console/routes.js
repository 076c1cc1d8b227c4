// Where everything is: the address after '#/', its title and the page that shows it.
import * as account from './pages/account.js';
import * as admin_holds from './pages/holds.js';
import * as alerts from './pages/alerts.js';
import * as audit from './pages/audit.js';
import * as codes from './pages/codes.js';
import * as credits from './pages/credits.js';
import * as keys from './pages/keys.js';
import * as ledger from './pages/ledger.js';
import * as models from './pages/models.js';
import * as overview from './pages/overview.js';
import * as plans from './pages/plans.js';
import * as prices from './pages/prices.js';
import * as providers from './pages/providers.js';
import * as request from './pages/request.js';
import * as requests from './pages/requests.js';
import * as security from './pages/security.js';
import * as system from './pages/system.js';
import * as usage from './pages/usage.js';
import * as user from './pages/user.js';
import * as users from './pages/users.js';

/* all: what everybody has made, not only the reader; nav: stands in the navigation. */
export const routes = [
    {path: '', title: 'nav.overview', page: overview.page, nav: true},
    {path: 'keys', title: 'nav.keys', page: keys.page, nav: true},
    {path: 'usage', title: 'nav.usage', page: usage.page, nav: true},
    {path: 'requests', title: 'nav.requests', page: requests.page, nav: true},
    {path: 'requests/:', title: 'nav.request', page: request.page},
    {path: 'credits', title: 'nav.credits', page: credits.page, nav: true},
    {path: 'account', title: 'nav.account', page: account.page, nav: true},
    {path: 'admin/users', title: 'nav.users', page: users.page, nav: true, all: true},
    {path: 'admin/users/:', title: 'nav.user', page: user.page, all: true},
    {path: 'admin/usage', title: 'nav.all_usage', page: usage.page, nav: true, all: true},
    {path: 'admin/requests', title: 'nav.all_requests', page: requests.page, nav: true, all: true},
    {path: 'admin/requests/:', title: 'nav.request', page: request.page, all: true},
    {path: 'admin/providers', title: 'nav.providers', page: providers.page, nav: true, all: true},
    {path: 'admin/models', title: 'nav.models', page: models.page, nav: true, all: true},
    {path: 'admin/prices', title: 'nav.prices', page: prices.page, nav: true, all: true},
    {path: 'admin/plans', title: 'nav.plans', page: plans.page, nav: true, all: true},
    {path: 'admin/codes', title: 'nav.codes', page: codes.page, nav: true, all: true},
    {path: 'admin/ledger', title: 'nav.ledger', page: ledger.page, nav: true, all: true},
    {path: 'admin/holds', title: 'nav.holds', page: admin_holds.page, nav: true, all: true},
    {path: 'admin/alerts', title: 'nav.alerts', page: alerts.page, nav: true, all: true},
    {path: 'admin/security', title: 'nav.security', page: security.page, nav: true, all: true},
    {path: 'admin/audit', title: 'nav.audit', page: audit.page, nav: true, all: true},
    {path: 'admin/system', title: 'nav.system', page: system.page, nav: true, all: true},
];

/** "#/admin/users/usr_1?x=y" -> {path: "admin/users/usr_1", query: {x: "y"}} */
export function read_hash() {
    const [path, query] = location.hash.replace(/^#\/?/, '').split('?');

    return {path, query: Object.fromEntries(new URLSearchParams(query ?? ''))};
}

function decoded(text) {
    try {
        return decodeURIComponent(text);
    } catch {
        return text;
    }
}

/** The route of a path and the argument in it; null when there is none. */
export function find(path) {
    const parts = path.split('/');

    for (const route of routes) {
        const wanted = route.path.split('/');

        if (wanted.length === parts.length && wanted.every((w, i) => (w === ':' ? parts[i] !== '' : w === parts[i])))
            return {route, arg: decoded(parts.at(-1))};
    }
    return null;
}
