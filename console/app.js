// Names the router that this page came from.
const heading = document.createElement('h1');
heading.textContent = 'OpenAI Router';
const health = await (await fetch('../health')).json();
const version = document.createElement('p');
version.textContent = `Version ${health.version}`;
document.querySelector('main').append(heading, version);
